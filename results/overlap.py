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
from dataclasses import dataclass

from results.bundle import Bundle
from results.history import Deliveries, OrderKey
from results.records import ConnectionTrace, StatementTrace
from results.transactions import is_behind

ConnectionKey = tuple[str, int]
Group = tuple[OrderKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """An interval on one connection, with the flights that were in it."""

    connection: ConnectionKey
    begin_ns: int
    end_ns: int
    flights: tuple[StatementTrace, ...]


def transactions(
    statements: Iterable[StatementTrace], connections: Iterable[ConnectionTrace] = ()
) -> list[Transaction]:
    """All transactions; one that never ended lasts until its connection's end, if that is known."""
    flights: dict[ConnectionKey, list[StatementTrace]] = defaultdict(list)
    for statement in statements:
        flights[(statement.replica, statement.connection)].append(statement)
    ends: dict[ConnectionKey, int] = {}
    for trace in connections:
        if trace.event != "open":
            key = (trace.replica, trace.connection)
            ends[key] = min(trace.at_ns, ends.get(key, trace.at_ns))
    found: list[Transaction] = []
    for key, mine in flights.items():
        mine.sort(key=lambda flight: flight.flight)
        part: list[StatementTrace] = []
        for flight in mine:
            part.append(flight)
            if flight.state_after == "I":
                found.append(_transaction(key, part, None))
                part = []
        if part:
            found.append(_transaction(key, part, ends.get(key)))
    return found


def overlapping_groups(bundle: Bundle) -> set[Group]:
    """The duplicate groups whose handling overlapped at the wire."""
    about: dict[OrderKey, list[Transaction]] = defaultdict(list)
    for transaction in transactions(bundle.statements, bundle.connections):
        if not is_behind(transaction.connection[0]):
            for key in bundle.naming.of_flights(transaction.flights):
                about[key].append(transaction)
    return {
        group
        for group, deliveries in bundle.history.groups().items()
        if _overlap(
            # What ran before the group was released handled something else (orders/create).
            [(transaction.begin_ns, transaction.end_ns, transaction.connection)
             for transaction in about.get(group[0], ())
             if transaction.begin_ns >= min(one.intent.intended_ns for one in deliveries)]
        )
    }  # fmt: skip


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


def _transaction(
    key: ConnectionKey, flights: list[StatementTrace], closed_ns: int | None
) -> Transaction:
    last = flights[-1]
    end_ns = last.replied_ns or last.forwarded_ns or last.received_ns
    return Transaction(
        connection=key,
        begin_ns=flights[0].received_ns,
        end_ns=max(end_ns, closed_ns or 0),
        flights=tuple(flights),
    )


def _overlap(intervals: list[tuple[int, int, object]]) -> bool:
    """Whether two intervals of different owners overlap: (begin, end, owner)."""
    ordered = sorted(intervals, key=lambda interval: interval[:2])
    for index, (_, end, owner) in enumerate(ordered):
        for begin, _, other in ordered[index + 1 :]:
            if begin >= end:
                break
            if other != owner:
                return True
    return False
