"""Rules about locks: one that held nothing, and an order of them in which two can wait for ever."""

from collections.abc import Iterator
from itertools import combinations

from results.lint.finding import REFUSED, Finding, Rule
from results.lint.steps import Step, steps_of
from results.lint.traced import PLAIN, Traced

NOTHING_LOCKED = Rule(
    "for-update-matched-no-row",
    "Where there is no row FOR UPDATE locks nothing, so two deliveries pass it side by side.",
    "Insert the row first (INSERT ... ON CONFLICT DO NOTHING), then lock it; or take an advisory "
    "lock on the order.",
    ("A1", "A8"),
)
DEADLOCK = Rule(
    "lock-order-can-deadlock",
    "Two transactions that take these locks in turns wait for each other, until Postgres ends one.",
    "Take the locks of a transaction in one order everywhere, the strongest one first.",
    (REFUSED,),
)


def for_update_no_row(traced: Traced) -> Iterator[Finding]:
    """A locking read of nothing, and the transaction writes all the same."""
    steps = steps_of(traced.first)
    for step in steps:
        writes = [
            one
            for one in steps[steps.index(step) + 1 :]
            if one.block == step.block and one.writes is not None
        ]
        guarded = any(one.decides(traced.catalogue) for one in writes)
        held = step.level != PLAIN or any(
            one.advisory for one in steps[: steps.index(step)] if one.block == step.block
        )
        if step.locks and step.names and step.rows == 0 and writes and not guarded and not held:
            yield NOTHING_LOCKED.at(step.sql)


def lock_order(traced: Traced) -> Iterator[Finding]:
    """Tables that one transaction locks this way round, and another the other; or a shared lock
    that its own transaction makes an exclusive one."""
    before: dict[tuple[str, str], Step] = {}
    for attempt in traced.attempts:
        blocks: dict[int, list[Step]] = {}
        for step in steps_of(attempt):
            if step.locks or step.shares or step.writes is not None:
                blocks.setdefault(step.block, []).append(step)
        for steps in blocks.values():
            for one, other in combinations(steps, 2):
                first, then = _table(one), _table(other)
                if first == then:
                    if one.shares and not other.shares and one.names:
                        yield DEADLOCK.at(f"{one.sql}; {other.sql}")
                    continue
                if (then, first) in before and not _held_before(first, then, one, steps):
                    yield DEADLOCK.at(f"{before[then, first].sql}; {one.sql}")
                before.setdefault((first, then), one)


def _held_before(first: str, then: str, one: Step, steps: list[Step]) -> bool:
    """Whether the pair is only the echo of locks that were taken earlier in the transaction."""
    earlier = [_table(step) for step in steps[: steps.index(one)]]
    return first in earlier or then in earlier


def _table(step: Step) -> str:
    return step.writes or step.reads or ""
