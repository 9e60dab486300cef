"""Whether something ties a delivery's check to its writes, so that copies take turns."""

from collections.abc import Sequence

from results.lint.steps import Step
from results.lint.traced import PLAIN, Catalogue


def locked_before(step: Step, steps: Sequence[Step]) -> bool:
    """A lock that was held when this step was taken: rows, or an advisory one.

    An advisory lock counts under READ COMMITTED alone: above it the snapshot is as old as the wait.
    """
    for one in steps:
        if one is step:
            return one.locks and one.rows != 0
        if one.block == step.block and one.locks and one.names and one.rows != 0:
            return True
        fresh = step.level == PLAIN or one.block != step.block
        if one.advisory and fresh and (one.session_lock or one.block == step.block):
            return True
    return False


def decided(steps: Sequence[Step], catalogue: Catalogue) -> bool:
    """Whether some step lets one copy of the order through, whatever webhook ids they have."""
    return any(
        one.decides(catalogue)
        or (one.locks and one.names and not one.by_webhook and one.rows != 0)
        or (one.advisory and one.level == PLAIN)
        or (one.level == "serializable" and one.names)
        for one in steps
    )


def checks(steps: Sequence[Step]) -> list[Step]:
    """Plain reads of the order or of the webhook id, with nothing that holds what was read."""
    return [
        one
        for one in steps
        if one.reads is not None
        and (one.by_order or one.by_webhook)
        and not one.locks
        and not locked_before(one, steps)
    ]


def after(step: Step, steps: Sequence[Step]) -> list[Step]:
    """The writes that come after it."""
    return [one for one in steps[steps.index(step) + 1 :] if one.writes is not None]
