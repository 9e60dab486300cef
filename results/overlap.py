"""Which duplicates were really handled at the same time, as the wire saw it.

A group of duplicates that were merely *sent* together may have been handled one after the other;
only handling that overlapped could have raced. A transaction lasts from when Postgres got its first
statement to the end of the answer that closed it; a statement outside of any is one by itself.
Two transactions of web replicas, of different deliveries as far as their webhook ids tell, else on
different connections, that are about the same order (`results/naming.py`) and overlap in time make
their group an overlapping one, if its copies were under way together for the sender, too. The
relay's transactions do not count: it is no handler of a delivery.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from results.bundle import Bundle
from results.figures import Interval, overlap, sender_overlapping_groups
from results.history import Deliveries, OrderKey, begun_ns
from results.records import ConnectionTrace
from results.transactions import Transaction, is_behind, transactions

ConnectionKey = tuple[str, int]
Group = tuple[OrderKey, str]


def overlapping_groups(bundle: Bundle) -> set[Group]:
    """The duplicate groups whose handling overlapped at the wire."""
    about: dict[OrderKey, list[Transaction]] = defaultdict(list)
    closed = _closed(bundle.connections)
    for transaction in transactions(bundle.statements):
        if not is_behind(transaction.replica):
            for key in bundle.naming.handled_in(transaction.flights):
                about[key].append(transaction)
    groups = bundle.history.groups()
    sent_together = sender_overlapping_groups(groups)
    return {
        group
        for group, deliveries in groups.items()
        if group in sent_together
        and overlap(_handling(about.get(group[0], ()), deliveries, closed))
    }


def _handling(
    found: Iterable[Transaction], deliveries: Deliveries, closed: dict[ConnectionKey, int]
) -> Iterator[Interval]:
    """The intervals in which a group was handled, each with its owner.

    What ran before the group was released handled something else (orders/create). A webhook id
    that one copy alone has tells whose handling it was; else a connection stands for a delivery.
    """
    released_ns = min(begun_ns(one) for one in deliveries)
    copies = Counter(one.intent.webhook_id for one in deliveries)
    single = {webhook for webhook, count in copies.items() if count == 1}
    for transaction in found:
        begin_ns, end_ns, connection = _interval(transaction, closed)
        if begin_ns is not None and begin_ns >= released_ns:
            carried = single & {key for flight in transaction.flights for key in flight.keys}
            yield begin_ns, end_ns, min(carried) if len(carried) == 1 else connection


def _closed(connections: Iterable[ConnectionTrace]) -> dict[ConnectionKey, int]:
    """When each connection ended, as far as that is known."""
    ends: dict[ConnectionKey, int] = {}
    for trace in connections:
        if trace.event != "open":
            key = (trace.replica, trace.connection)
            ends[key] = min(trace.at_ns, ends.get(key, trace.at_ns))
    return ends


def _interval(
    transaction: Transaction, closed: dict[ConnectionKey, int]
) -> tuple[int | None, int, ConnectionKey]:
    """From when its first flight reached Postgres (None: none did) to its last answer.

    One that never ended lasts to its connection's end. What the wire itself held is not handling.
    """
    last, key = transaction.flights[-1], (transaction.replica, transaction.connection)
    reached = (one.forwarded_ns for one in transaction.flights if one.forwarded_ns is not None)
    end_ns = last.replied_ns or last.forwarded_ns or last.received_ns
    if last.state_after != "I":
        end_ns = max(end_ns, closed.get(key, 0))
    return next(reached, None), end_ns, key
