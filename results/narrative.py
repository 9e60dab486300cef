"""Why a timeline is an anomaly, in sentences that cite its steps.

Each rule below looks for one fact in the transactions of the order and says it only when the
trace shows it: a read that was answered before another transaction was told to commit cannot have
seen its writes; an UPDATE that was answered after that commit, and still reports a row, matched
again. No rule guesses at values: rows are not recorded, so the prose speaks of what could be seen
and not of what was.
"""

from collections.abc import Iterator, Sequence

from results.records import Delivery, StatementTrace
from results.steps import Kind, Step, Timeline, short
from results.transactions import (
    Transaction,
    blocked_by,
    describe,
    ends,
    read_tables,
    rows_written,
    written_tables,
)

# The promise that each anomaly breaks, in the words of docs/exactly-once.md.
CONTRADICTS = {
    "duplicate-shipment": ("S1", "at most one shipment per order"),
    "lost-acked-payment": ("S4", "an ok promises that the order is durably paid and will ship"),
    "premature-duplicate-ack": ("S4", "an ok to a duplicate promises that the order is paid"),
    "phantom-shipment": ("S2", "no shipment without an authentic paid delivery before it"),
    "torn-effects": ("S5", "order, fulfillment, stock and webhook log agree"),
    "stuck-order": ("V2", "every order attempted in a healthy time has exactly one shipment"),
    "false-reject": ("V4", "retries of a settled order are answered ok"),
    "double-stock-decrement": ("S6", "stock is conserved"),
    "dedupe-poisoning": ("S9", "no dedupe record without its order paid"),
    "out-of-order": ("S7", "a cancelled order does not become paid"),
    "payload-swap": ("S3", "a shipment has the lines of its own order"),
    "ghost-effect": ("S2", "no shipment that no delivery asked for"),
    "zombie-write": ("S5", "a dead replica's late write changes nothing"),
    "cross-order-contamination": ("S5", "order, fulfillment, stock and webhook log agree"),
    "unauthenticated-effect": ("S8", "forged deliveries change nothing"),
    "miscounted-effect": ("S5", "each book that is kept of an order counts it once"),
    "retry-amplification": ("V4", "retries of a settled order are answered ok"),
}


def tell(
    timeline: Timeline, deliveries: Sequence[Delivery], own: Sequence[Transaction], detail: str
) -> tuple[str, ...]:
    """Return the sentences, in the order in which a reader needs them."""
    story = _Story(timeline, deliveries, own)
    sentences = [
        *story.sends(),
        *story.unseen_reads(),
        *story.waits(),
        *story.broken_commits(),
        *story.crashes(),
        *story.double_writes(),
        *story.shipments(),
    ]
    return (*sentences, *story.conclusion(detail))


def steps_word(numbers: Sequence[int]) -> str:
    """Return `step 3` or `steps 3 and 5`."""
    listed = [str(number) for number in numbers]
    if len(listed) == 1:
        return f"step {listed[0]}"
    return f"steps {', '.join(listed[:-1])} and {listed[-1]}"


def _tables_in_common(read: StatementTrace, writer: Transaction) -> set[str]:
    """The tables that a flight read and the writer wrote, both by the same id of the traffic."""
    written = {
        table
        for flight in writer.writes
        if set(flight.keys).intersection(read.keys)
        for table in written_tables(flight)
    }
    return written.intersection(read_tables(read))


class _Story:
    """One order's facts, with the number of the step that each flight became."""

    def __init__(
        self, timeline: Timeline, deliveries: Sequence[Delivery], own: Sequence[Transaction]
    ) -> None:
        self.timeline = timeline
        self.deliveries = deliveries
        self.own = own
        self._numbers = {
            (step.lane, step.at_ns): step.number
            for step in timeline.steps
            if step.kind == Kind.STATEMENT
        }

    def _number(self, replica: str, flight: StatementTrace) -> int | None:
        at_ns = flight.received_ns if flight.forwarded_ns is None else flight.forwarded_ns
        return self._numbers.get((replica, at_ns))

    def _name(self, transaction: Transaction) -> str:
        """`web-0`, or with its connection where one replica ran several transactions."""
        same = [item for item in self.own if item.replica == transaction.replica and item.writes]
        if len({item.connection for item in same}) > 1:
            return f"{transaction.replica} (connection {transaction.connection})"
        return transaction.replica

    def _of_kind(self, *kinds: Kind) -> list[Step]:
        return [step for step in self.timeline.steps if step.kind in kinds]

    def sends(self) -> Iterator[str]:
        """Yield who was sent what."""
        if not self.deliveries:
            return
        ids = sorted({item.intent.webhook_id for item in self.deliveries})
        sends = self._of_kind(Kind.SEND)
        targets = sorted({item.intent.target for item in self.deliveries})
        kind = (
            "one webhook id"
            if len(ids) == 1
            else f"{len(ids)} webhook ids ({', '.join(short(item) for item in ids[:4])})"
        )
        count = len(self.deliveries)
        noun = "delivery" if count == 1 else "deliveries"
        at = f" ({steps_word([step.number for step in sends[:6]])})" if sends else ""
        yield (
            f"Order {self.timeline.order_id} had {count} {noun} with {kind}, "
            f"to {' and '.join(targets)}{at}."
        )

    def unseen_reads(self) -> Iterator[str]:
        """Yield each read that was answered before the other's COMMIT reached Postgres."""
        for reader in self.own:
            for writer in self.own:
                end = writer.end
                if writer is reader or not writer.committed or end is None or not writer.writes:
                    continue
                if writer.replica == reader.replica and not reader.writes:
                    continue  # a replica's look-up just before its own transaction
                yield from self._reads_before(reader, writer, end)

    def _reads_before(
        self, reader: Transaction, writer: Transaction, end: StatementTrace
    ) -> Iterator[str]:
        commit = self._number(writer.replica, end)
        for flight in reader.flights:
            tables = sorted(_tables_in_common(flight, writer))
            number = self._number(reader.replica, flight)
            if not tables or number is None or commit is None or flight.replied_ns is None:
                continue
            if flight.replied_ns < (end.forwarded_ns or 0):
                yield (
                    f"{self._name(reader)} read {' and '.join(tables)} at step {number} "
                    f"({', '.join(flight.tags)}), answered before {self._name(writer)}'s "
                    f"{describe(end.sql[-1])} (step {commit}) reached Postgres: it could not see "
                    f"what {self._name(writer)} wrote."
                )

    def waits(self) -> Iterator[str]:
        """Yield each statement answered only after another transaction had ended."""
        for transaction in self.own:
            for flight in transaction.flights:
                other = blocked_by(flight, transaction, self.own)
                number = self._number(transaction.replica, flight)
                if other is None or number is None or other.end is None:
                    continue
                what = " and ".join(describe(sql) for sql in flight.sql)
                rows = rows_written(flight)
                noun = "row" if rows == 1 else "rows"
                then = f", and still wrote {rows} {noun}" if rows else ""
                commit = self._number(other.replica, other.end)
                yield (
                    f"{self._name(transaction)}'s {what} (step {number}) was answered only after "
                    f"{self._name(other)} ended its transaction (step {commit}){then}."
                )

    def broken_commits(self) -> Iterator[str]:
        """Yield the COMMITs that were never sent, or whose answer nobody heard."""
        for transaction in self.own:
            end = transaction.flights[-1]
            if not (ends(end) or transaction.writes):
                continue
            number = self._number(transaction.replica, end)
            if number is None:
                continue
            who = self._name(transaction)
            if end.forwarded_ns is None:
                yield f"{who}'s {describe(end.sql[0])} (step {number}) never reached Postgres."
            elif end.replied_ns is not None and end.returned_ns is None:
                yield (
                    f"Postgres answered {who}'s {describe(end.sql[0])} (step {number}), "
                    f"and {who} never got the answer."
                )

    def crashes(self) -> Iterator[str]:
        """Yield the faults among the steps."""
        for step in self._of_kind(Kind.CRASH):
            yield f"{step.lane}, step {step.number}: {step.text.removeprefix('✗ ')}."

    def double_writes(self) -> Iterator[str]:
        """Yield the tables that two committed transactions wrote for this order."""
        committed = [item for item in self.own if item.committed and item.writes]
        tables: dict[str, list[tuple[str, int]]] = {}
        for item in committed:
            for flight in item.writes:
                number = self._number(item.replica, flight)
                written = set(written_tables(flight))
                # One tag for several tables does not say which of them got a row.
                if number is None or len(written) != 1 or not rows_written(flight):
                    continue
                tables.setdefault(written.pop(), []).append((self._name(item), number))
        for table, writes in tables.items():
            names = list(dict.fromkeys(name for name, _ in writes))
            if len(names) > 1 and "fulfil" in table.lower():
                numbers = [number for _, number in writes]
                yield (
                    f"{' and '.join(names)} each wrote to {table} ({steps_word(numbers)}) "
                    "and each committed."
                )

    def shipments(self) -> Iterator[str]:
        """Yield what the witness shipped."""
        effects = self._of_kind(Kind.EFFECT)
        if effects:
            count = len(effects)
            noun = "shipment" if count == 1 else "shipments"
            numbers = steps_word([step.number for step in effects])
            yield f"The witness made {count} {noun} of this order ({numbers})."

    def conclusion(self, detail: str) -> Iterator[str]:
        """Yield the contradiction."""
        if self.timeline.omitted:
            yield f"{self.timeline.omitted} later steps of this order are not shown."
        if detail:
            yield f"The checker: {detail.rstrip('.')}."
        promise, words = CONTRADICTS.get(self.timeline.code, ("", ""))
        if not promise:
            yield f"Hence {self.timeline.code}."
            return
        effects = len(self._of_kind(Kind.EFFECT))
        several = self.timeline.code == "duplicate-shipment" and effects > 1
        what = f"{effects} shipments of one order" if several else self.timeline.code
        yield f"Hence {what}: contradiction with {promise} ({words})."
