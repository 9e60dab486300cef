"""Rules about where transactions end, and what is answered or called before they do."""

from collections.abc import Iterator

from results.lint.finding import Finding, Rule
from results.lint.steps import steps_of
from results.lint.traced import Traced
from results.transactions import Transaction, ends, rows_written, transactions, written_tables

CALL = Rule(
    "external-call-in-transaction",
    "The provider keeps what it was told when the transaction is rolled back, and its locks are "
    "held for as long as the provider takes.",
    "Write an outbox row in the transaction and call after its COMMIT, under a key made from the "
    "order.",
    crash_codes=("A1",),
)
EARLY = Rule(
    "reply-before-commit",
    "The sender is told that it is done before it is durable, and does not come again.",
    "Answer after COMMIT has been answered.",
    ("A3",), ("A2",),
)  # fmt: skip
ROLLED_BACK = Rule(
    "commit-answered-by-rollback",
    "Postgres answered COMMIT with ROLLBACK, since a statement before had failed, and the sender "
    "was told that all is done.",
    "Do not swallow errors within a transaction, and read the tag that COMMIT is answered with.",
    ("A2", "A3"),
)
APART = Rule(
    "claim-committed-apart-from-work",
    "What comes first is durable before the rest is: another delivery, and a crash, can come "
    "between.",
    "Put the claim and the work into one transaction.",
    ("A5",),
)
IGNORED = Rule(
    "update-changed-no-row-and-was-ignored",
    "The order was not there to be changed; the rest was done all the same, and acknowledged.",
    "Obey the row count: INSERT ... ON CONFLICT DO UPDATE, or an error so that it comes again.",
    ("A3", "A5"),
)
NOTHING_WRITTEN = Rule(
    "acknowledged-without-a-write",
    "The first delivery of the order was acknowledged, and nothing of it was kept anywhere.",
    "Answer with an error so that it is delivered again, or store what has come.",
    ("A2", "A3"),
)


def call_in_transaction(traced: Traced) -> Iterator[Finding]:
    """A call of the provider between the first flight of a block and its end."""
    for transaction in transactions(traced.first.statements):
        end = transaction.end
        until = end.received_ns if end is not None else None
        inside = [flight for flight in transaction.flights if flight is not end and flight.sql]
        for at in traced.first.calls_ns:
            if inside and transaction.begun_ns < at and (until is None or at < until):
                said = [one for one in inside if one.received_ns < at] or inside
                yield CALL.at(f"{_sql(said[-1].sql)}; (call of the provider)")
                break


def reply_before_commit(traced: Traced) -> Iterator[Finding]:
    """A 2xx, and only then the COMMIT of what was written."""
    for attempt in traced.attempts:
        for transaction in transactions(attempt.statements):
            end = transaction.end
            late = attempt.answered_ns is not None and (
                end is None or end.replied_ns is None or end.replied_ns > attempt.answered_ns
            )
            wrote = any(map(rows_written, transaction.flights))
            # An answer to a COMMIT that was sent before can only be told by the wire's own order.
            sent = end is not None and (end.forwarded_ns or 0) < (attempt.answered_ns or 0)
            if attempt.acknowledged and wrote and late and not sent:
                yield EARLY.at(_sql((end or transaction.flights[-1]).sql))


def commit_rolled_back(traced: Traced) -> Iterator[Finding]:
    """COMMIT was asked for, ROLLBACK was the answer, and the sender has a 2xx."""
    for attempt in traced.attempts:
        for flight in attempt.statements:
            asked = ends(flight) and any("COMMIT" in sql.upper() for sql in flight.sql)
            if attempt.acknowledged and asked and "ROLLBACK" in flight.tags:
                yield ROLLED_BACK.at(_sql(flight.sql))


def claim_apart(traced: Traced) -> Iterator[Finding]:
    """Two transactions or more in which one delivery wrote; which codes, the first one says."""
    first = traced.first
    wrote = [one for one in transactions(first.statements) if one.committed and one.writes]
    if len(wrote) < 2 or not first.acknowledged:
        return
    begun = wrote[0]
    steps = steps_of(first)
    own = [step for step in steps if step.flight in begun.flights and step.wrote]
    if not own:
        return
    sql = f"{own[0].sql}; {_sql(wrote[1].writes[0].sql)}"
    claims = any(step.by_webhook for step in own) and not _has_order_row(begun, traced)
    if claims:
        yield _with(sql, ("A3", "A5"), ("A2", "A9"), "same")
    elif _answers_copies(own[0].writes, traced) and not _called_before(begun, traced):
        yield _with(sql, ("A3", "A5"), ("A2",), "any")
    else:
        yield APART.at(sql)


def _has_order_row(begun: Transaction, traced: Traced) -> bool:
    """Whether more than one table was written together with the claim."""
    tables = {s.writes for s in steps_of(traced.first) if s.flight in begun.flights and s.wrote}
    return len(tables) > 1


def _answers_copies(table: str | None, traced: Traced) -> bool:
    """Whether a copy is answered after a look at this table, without a write of its own."""
    steps = steps_of(traced.distinct)
    return any(step.reads == table for step in steps) and not any(
        step.writes == table for step in steps
    )


def _called_before(begun: Transaction, traced: Traced) -> bool:
    return any(at < begun.begun_ns for at in traced.first.calls_ns)


def _with(sql: str, codes: tuple[str, ...], crash: tuple[str, ...], ids: str) -> Finding:
    rule = Rule(APART.name, APART.why, APART.fix, codes, crash, ids)
    return rule.at(sql)


def update_ignored(traced: Traced) -> Iterator[Finding]:
    """UPDATE 0 of the order, and the delivery writes on and is acknowledged."""
    steps = steps_of(traced.first)
    for index, step in enumerate(steps):
        missed = step.writes is not None and not step.inserts and step.rows == 0
        if missed and step.by_order and traced.first.acknowledged:
            later = [one for one in steps[index + 1 :] if one.wrote and one.names]
            mended = any(one.writes == step.writes for one in later)
            if later and not mended:
                yield IGNORED.at(step.sql)


def nothing_written(traced: Traced) -> Iterator[Finding]:
    """A 2xx for the first delivery, which only read."""
    first = traced.first
    found = transactions(first.statements)
    kept = first.calls_ns or any(
        one.committed and (one.writes or (one.may_have_written and not _plain_writes(one)))
        for one in found
    )
    if found and first.acknowledged and not kept:
        steps = steps_of(first)
        if steps:
            yield NOTHING_WRITTEN.at(steps[-1].sql)


def _plain_writes(transaction: Transaction) -> bool:
    """Its writes are told by their tags: no call of a function is among them."""
    return any(map(written_tables, transaction.flights))


def _sql(statements: tuple[str, ...]) -> str:
    return "; ".join(" ".join(one.split()) for one in statements)
