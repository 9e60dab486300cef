"""Planted by what is sent, answered and shipped."""

from results.records import Outcome
from tests.unit.results.plants import VICTIM, plant, settled
from tests.unit.results.world import OTHER_LINE, World


@plant("A1")
def two_shipments_of_one_row(world: World) -> None:
    settled(world)
    world.ship(VICTIM, at_ms=2_045)


@plant("A2")
def acknowledged_and_never_shipped(world: World) -> None:
    settled(world)
    world.calls = [call for call in world.calls if call.order_id != VICTIM]


@plant("A2 by doing nothing", "A3")
def acknowledged_and_nothing_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)


@plant("A4")
def shipped_on_create(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, topic="orders/create")
    world.ship(VICTIM, at_ms=2_010)


@plant("A4 before it was paid")
def shipped_before_it_was_paid(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=1_999)


@plant("A4 of nobody")
def shipped_and_never_named(world: World) -> None:
    world.ship(VICTIM, at_ms=2_000, shop="")


@plant("A6")
def refused_to_the_end(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000, status=503)


@plant("A6 in the outbox")
def recorded_and_never_sent(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000)  # timeouts
    world.hold_state(VICTIM)


@plant("A7")
def settled_and_unheard(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2)  # timeouts are no answers, so they amplify nothing


@plant("A7 by answers", "A16")
def settled_and_refused(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, status=409)


@plant("A10")
def shipped_after_its_cancellation(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_900, topic="orders/cancelled")
    settled(world)


@plant("A11")
def shipped_with_other_lines(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020, lines=OTHER_LINE)


@plant("A12")
def shipped_though_refused(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.FAIL, status=404)
    world.deliver(VICTIM, at_ms=2_000, copy=1, outcome=Outcome.FAIL)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_005)


@plant("A12 then acknowledged")
def shipped_then_acknowledged(world: World) -> None:
    shipped_though_refused(world)
    world.deliver(VICTIM, at_ms=2_100, attempt=2)


def forged(world: World, status: int, outcome: Outcome) -> None:
    world.deliver(VICTIM, at_ms=2_000, authentic=False, outcome=outcome, status=status)


@plant("A15")
def forged_and_let_in(world: World) -> None:
    forged(world, 202, Outcome.OK)


@plant("A15 by an error")
def forged_and_choked_on(world: World) -> None:
    forged(world, 500, Outcome.INFO)


@plant("A15 by a shipment")
def forged_and_shipped(world: World) -> None:
    forged(world, 401, Outcome.FAIL)
    world.ship(VICTIM, at_ms=2_050)


@plant("A15 beside a refusal")
def forged_beside_a_refusal(world: World) -> None:
    forged(world, 401, Outcome.FAIL)
    world.deliver(VICTIM, at_ms=2_010, outcome=Outcome.FAIL, status=413)
    world.hold_state(VICTIM, movements=())
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_050)


@plant("A15 in the ledger")
def forged_and_recorded(world: World) -> None:
    forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, status="pending", logs=0, movements=())


@plant("A15 in the orders")
def forged_and_paid(world: World) -> None:
    forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, rows=0, logs=0, movements=())


@plant("A15 in the stock")
def forged_and_moved(world: World) -> None:
    forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0)


@plant("A15 without an answer")
def forged_and_shipped_without_an_answer(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, authentic=False, outcome=None)
    world.ship(VICTIM, at_ms=2_050)


@plant("A16")
def refused_five_times(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 6), status=500)
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=6)


@plant("A7 under new ids", "A16")
def refused_under_a_new_id_each_time(world: World) -> None:
    settled(world)
    for attempt in range(1, 10):
        world.deliver(VICTIM, at_ms=2_030 + 20 * attempt, copy=2, attempt=attempt, status=500,
                      outcome=Outcome.INFO, webhook=f"rotated-{attempt}")  # fmt: skip
