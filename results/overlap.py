"""Which duplicates were really handled at the same time, as the wire saw it.

A group of duplicates that were merely *sent* together may have been handled one after the other;
only handling that overlapped could have raced. A transaction lasts from the arrival of its first
statement to the end of the answer that closed it; a statement outside of any is one by itself.
Two transactions on different connections of web replicas that are about the same order
(`results/naming.py`) and overlap in time make their group an overlapping one. The relay's
transactions do not count: it is no handler of a delivery.
"""

from collections import defaultdict
from collections.abc import Iterable

from results.bundle import Bundle
from results.history import Deliveries, OrderKey
from results.records import ConnectionTrace
from results.transactions import Transaction, is_behind, transactions

ConnectionKey = tuple[str, int]
Group = tuple[OrderKey, str]
Interval = tuple[int, int, object]  # begin, end, whose


def overlapping_groups(bundle: Bundle) -> set[Group]:
    """The duplicate groups whose handling overlapped at the wire."""
    about: dict[OrderKey, list[Interval]] = defaultdict(list)
    closed = _closed(bundle.connections)
    for transaction in transactions(bundle.statements):
        if not is_behind(transaction.replica):
            interval = _interval(transaction, closed)
            for key in bundle.naming.of_flights(transaction.flights):
                about[key].append(interval)
    found = set()
    for group, deliveries in bundle.history.groups().items():
        # What ran before the group was released handled something else (orders/create).
        released_ns = min(one.intent.intended_ns for one in deliveries)
        if _overlap([one for one in about.get(group[0], ()) if one[0] >= released_ns]):
            found.add(group)
    return found


def sender_overlapping_groups(groups: dict[Group, Deliveries]) -> set[Group]:
    """The groups of which two copies were under way at once, as the sender saw it."""
    return {
        group
        for group, deliveries in groups.items()
        if _overlap(
            [(one.completion.sent_ns, one.completion.done_ns, one.intent.copy)
             for one in deliveries
             if one.completion is not None and one.completion.sent_ns is not None]
        )
    }  # fmt: skip


def _closed(connections: Iterable[ConnectionTrace]) -> dict[ConnectionKey, int]:
    """When each connection ended, as far as that is known."""
    ends: dict[ConnectionKey, int] = {}
    for trace in connections:
        if trace.event != "open":
            key = (trace.replica, trace.connection)
            ends[key] = min(trace.at_ns, ends.get(key, trace.at_ns))
    return ends


def _interval(transaction: Transaction, closed: dict[ConnectionKey, int]) -> Interval:
    """From its first flight to its last answer; to its connection's end if it never ended."""
    last, key = transaction.flights[-1], (transaction.replica, transaction.connection)
    end_ns = last.replied_ns or last.forwarded_ns or last.received_ns
    if last.state_after != "I":
        end_ns = max(end_ns, closed.get(key, 0))
    return transaction.begun_ns, end_ns, key


def _overlap(intervals: list[Interval]) -> bool:
    """Whether two intervals of different owners overlap: (begin, end, owner)."""
    ordered = sorted(intervals, key=lambda interval: interval[:2])
    for index, (_, end, owner) in enumerate(ordered):
        for begin, _, other in ordered[index + 1 :]:
            if begin >= end:
                break
            if other != owner:
                return True
    return False
