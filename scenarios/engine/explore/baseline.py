"""Before anything is explored: does one delivery do anything at all, where we can see it?

A service that refuses its signature, or uses another database than the wire's, has no steps, and
"all schedules" of no steps are one that proves nothing. So the first schedule of each kind, in
which one delivery goes after the other, must have steps of every delivery; and where the order has
its row, the first delivery must be acknowledged and leave something in the ledger.
"""

from results.errors import ConfigError
from results.records import OrderState
from scenarios.engine.explore.moves import Where
from scenarios.engine.explore.played import Played, ok

DOCTOR = "`onceproof doctor` tries the service step by step and says what to change."


def require_baseline(where: Where, played: Played, state: OrderState | None) -> None:
    """ConfigError when the first schedule shows that nothing could be proved."""
    said = ["no answer" if status is None else str(status) for status in played.statuses]
    if len({move.actor for move in played.moves if move.do != "start"}) < where.deliveries:
        raise ConfigError(
            f"Deliveries were answered {', '.join(said)}, and not each of them had a step that "
            f"came through the wire: the service uses another database, or refuses them. {DOCTOR}"
        )
    if where.row == "absent":
        return  # to do nothing may be right
    if not ok(played.statuses[0]):
        raise ConfigError(f"A single delivery was answered {said[0]}. {DOCTOR}")
    if state is not None and not took_effect(state):
        raise ConfigError(
            f"A single delivery was answered {said[0]} and left nothing in the ledger: the "
            "queries under [ledger] look elsewhere, or name another shop than the delivery. "
            f"{DOCTOR}"
        )


def took_effect(state: OrderState) -> bool:
    """Whether the ledger shows anything that a payment does."""
    return bool(
        state.status == "paid"
        or state.fulfillments
        or state.movements
        or state.in_inbox
        or any(one.times for one in state.counts)
    )
