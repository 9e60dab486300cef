"""The transactions in a wire trace: which flights belong together, and what they did.

A transaction starts with the first flight that a connection sent while Postgres was idle (state I)
and ends when it is idle again. What a flight did is read from its text (which tables) and from
Postgres' own command tags (how many rows); values and rows are not in the trace. The text is
matched, not parsed: a statement hidden in a function is seen as the call that it is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from results.records import Delivery, StatementTrace

WAIT_NS = 2_000_000  # shorter than this, an answer that came late says nothing

_END = re.compile(r"^\s*(COMMIT|END|ROLLBACK|ABORT)\b", re.IGNORECASE)
_BEGIN = re.compile(r"^\s*(BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
_WRITE = re.compile(
    r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\s+(?:ONLY\s+)?\"?([\w.]+)", re.IGNORECASE
)
_LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b(\s+SKIP\s+LOCKED)?", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(DO|FOR(\s+NO\s+KEY)?)\s+UPDATE\b", re.IGNORECASE)
_READ = re.compile(r"\bFROM\s+(?:ONLY\s+)?\"?([\w.]+)", re.IGNORECASE)
_READS = re.compile(
    r"^\s*(SELECT|VALUES|TABLE|SHOW|BEGIN|START|COMMIT|END|SET|RESET)\b", re.IGNORECASE
)
_CALL = re.compile(
    r"\b(?!(?:ALL|AND|ANY|AS|AVG|CAST|COALESCE|COUNT|EXISTS|FROM|IN|JOIN|LOWER|MAX|MIN|NOT|NOW|ON|OR"
    r"|SELECT|SUM|UPPER|VALUES|WHERE)\b)\w+\s*\(", re.IGNORECASE,
)  # fmt: skip
_ROWS = re.compile(r"^(?:INSERT 0|UPDATE|DELETE|MERGE) (\d+)$")


class Transaction(Struct, frozen=True, kw_only=True):
    """The flights of one transaction (or of one autocommitted flight) of one connection."""

    replica: str
    connection: int
    flights: tuple[StatementTrace, ...]

    @property
    def begun_ns(self) -> int:
        """When its first flight reached the wire."""
        return self.flights[0].received_ns

    @property
    def end(self) -> StatementTrace | None:
        """The flight that ended it: COMMIT, or the autocommitted one; None when it stayed open."""
        last = self.flights[-1]
        return last if last.state_after == "I" or ends(last) else None

    @property
    def committed(self) -> bool:
        """True when Postgres answered that it is durable."""
        end = self.end
        if end is None or end.replied_ns is None or end.sqlstate:
            return False
        return not ends(end) or "COMMIT" in end.tags

    @property
    def may_have_written(self) -> bool:
        """False when every statement of it plainly only reads; a call of a function may write."""
        return any(not _READS.match(sql) or _CALL.search(sql) or _targets(sql)
                   for flight in self.flights for sql in flight.sql)  # fmt: skip

    @property
    def committed_ns(self) -> int | None:
        """When Postgres said so; None when it did not."""
        return self.end.replied_ns if self.end is not None and self.committed else None

    @property
    def writes(self) -> tuple[StatementTrace, ...]:
        """Its flights that wrote: a row or more by their tags, or a CTE whose tag cannot say."""
        return tuple(flight for flight in self.flights if wrote(flight))


def describe(sql: str) -> str:
    """Shorten a statement to what matters: `UPDATE orders`, `SELECT orders FOR UPDATE`."""
    end = _END.match(sql)
    if end:
        return end[1].upper()
    writes = list(
        dict.fromkeys(f"{verb.split()[0].upper()} {table}" for verb, table in _targets(sql))
    )
    if writes:
        clause = " ON CONFLICT" if re.search(r"\bON\s+CONFLICT\b", sql, re.IGNORECASE) else ""
        more = f" + {len(writes) - 1} more writes" if len(writes) > 2 else ""
        return (writes[0] + more if more else " + ".join(writes)) + clause
    read = _READ.search(sql)
    if read:
        lock = _LOCKING.search(sql)
        return f"SELECT {read[1]}" + (f" {' '.join(lock[0].upper().split())}" if lock else "")
    return " ".join(sql.split())[:40]


def _targets(sql: str) -> list[tuple[str, str]]:
    """(verb, table) of each write in a statement; `DO UPDATE SET`, `FOR UPDATE` are none."""
    return _WRITE.findall(_CLAUSE.sub("", sql))


def written_tables(flight: StatementTrace) -> tuple[str, ...]:
    """The tables that a flight's text writes to."""
    return tuple(table for sql in flight.sql for _, table in _targets(sql))


def read_tables(flight: StatementTrace) -> tuple[str, ...]:
    """The tables that a flight only reads."""
    reads = (_READ.search(sql) for sql in flight.sql if not _targets(sql) and not _END.match(sql))
    return tuple(read[1] for read in reads if read)


def ends(flight: StatementTrace) -> bool:
    """True for COMMIT, END, ROLLBACK, ABORT."""
    return any(_END.match(sql) for sql in flight.sql)


def begins(flight: StatementTrace) -> int:
    """How many transactions its text begins."""
    return sum(bool(_BEGIN.match(each)) for sql in flight.sql for each in sql.split(";"))


def is_behind(replica: str) -> bool:
    """A role behind the web replicas, as a relay: it handles no delivery."""
    return replica.rpartition("-")[0] != "web"


def rows_written(flight: StatementTrace) -> int:
    """How many rows its command tags say that it wrote; a CTE counts by the tag it ends with."""
    counts = (_ROWS.match(tag) for tag in flight.tags)
    return sum(int(match[1]) for match in counts if match)


def wrote(flight: StatementTrace) -> bool:
    """True when its tags count a written row, or its text writes beneath a SELECT (a CTE)."""
    if rows_written(flight):
        return True
    beneath = any(tag.startswith("SELECT") for tag in flight.tags)
    return beneath and not flight.sqlstate and bool(written_tables(flight))


def transactions(statements: Iterable[StatementTrace]) -> list[Transaction]:
    """Cut each connection's flights where Postgres was idle (state I), in order of begin."""
    per_connection: dict[tuple[str, int], list[StatementTrace]] = defaultdict(list)
    for trace in statements:
        per_connection[trace.replica, trace.connection].append(trace)
    found: list[Transaction] = []
    for (replica, connection), flights in per_connection.items():
        open_flights: list[StatementTrace] = []
        for flight in sorted(flights, key=lambda trace: trace.flight):
            if flight.state_before == "I" and open_flights:
                found.append(_transaction(replica, connection, open_flights))
                open_flights = []
            open_flights.append(flight)
        if open_flights:
            found.append(_transaction(replica, connection, open_flights))
    return sorted(found, key=lambda transaction: transaction.begun_ns)


def _transaction(replica: str, connection: int, flights: list[StatementTrace]) -> Transaction:
    return Transaction(replica=replica, connection=connection, flights=tuple(flights))


def transactions_of_order(
    order_id: int,
    deliveries: Sequence[Delivery],
    statements: Iterable[StatementTrace],
    foreign: Iterable[str] = (),
) -> list[Transaction]:
    """The transactions in which a flight carried the order's id or one of its webhook ids.

    `foreign` are the webhook ids of another shop's order with the same id: what carries one of
    them, and none of this order's, is the other's.
    """
    webhooks = {delivery.intent.webhook_id for delivery in deliveries}
    others = set(foreign) - webhooks
    found = []
    for transaction in transactions(statements):
        carried = {key for flight in transaction.flights for key in flight.keys}
        if webhooks & carried or (str(order_id) in carried and not others & carried):
            found.append(transaction)
    return found


def blocked_by(
    flight: StatementTrace, transaction: Transaction, own: Sequence[Transaction]
) -> Transaction | None:
    """The other transaction that was open when this flight was sent and ended before its answer.

    None when the flight was answered within 2 ms or no such transaction wrote anything.
    """
    if flight.forwarded_ns is None or flight.replied_ns is None:
        return None
    if flight.replied_ns - flight.forwarded_ns < WAIT_NS:
        return None
    for other in own:
        end = other.end
        if other is transaction or end is None or end.forwarded_ns is None or not other.writes:
            continue
        wrote_before = any((w.forwarded_ns or 0) < flight.forwarded_ns for w in other.writes)
        if wrote_before and flight.forwarded_ns < end.forwarded_ns <= flight.replied_ns:
            return other
    return None
