"""Innocent by what was sent, answered and shipped: A1, A2, A4, A6, A7, A10, A12, A15, A16."""

from results.records import Outcome, Stage
from tests.unit.results.innocent import innocent
from tests.unit.results.planted import VICTIM, settled
from tests.unit.results.world import OTHER_LINE, OTHER_SHOP, SHOP, World


def refused(world: World, **more: object) -> None:
    world.repeat(VICTIM, at_ms=2_000, **more)  # type: ignore[arg-type]


@innocent("A1")
def a_repeated_call_with_a_known_key(world: World) -> None:
    settled(world)
    world.ship(VICTIM, at_ms=2_045, effect=False)


@innocent("A1")
def two_shops_and_a_provider_that_knows_no_shop(world: World) -> None:
    settled(world)
    world.settled_order(VICTIM, at_ms=2_100, shop=OTHER_SHOP)
    world.calls = [call for call in world.calls if call.order_id != VICTIM]
    world.ship(VICTIM, at_ms=2_200, shop="")
    world.ship(VICTIM, at_ms=2_210, shop="")


@innocent("A2")
def cancelled_before_it_could_be_shipped(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.deliver(VICTIM, at_ms=2_010, topic="orders/cancelled", outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="cancelled")


@innocent("A4")
def shipped_at_the_instant_in_which_it_was_sent(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_000)


@innocent("A4")
def sent_ahead_of_its_time_and_shipped(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, late_ms=-5)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=1_997)


@innocent("A6")
def the_sender_left_before_its_last_attempt(world: World) -> None:
    refused(world, attempts=range(1, 9), status=503)


@innocent("A6")
def all_but_one_attempt_were_disturbed(world: World) -> None:
    world.crash("f", "blind", at_ms=1_990, healed_ms=2_159)
    refused(world, status=503)


@innocent("A6")
def a_hold_stood_over_all_attempts(world: World) -> None:
    world.hold(parked_ms=1_990, released_ms=2_170)
    refused(world, status=503)


@innocent("A6")
def a_fault_that_never_ended(world: World) -> None:
    world.crash("f", "blind", at_ms=2_010, until=Stage.EVIDENCE)
    refused(world, status=503)


@innocent("A6")
def two_copies_with_one_calm_attempt_each(world: World) -> None:
    world.crash("f", "blind", at_ms=1_990, healed_ms=2_159)
    refused(world, status=503)
    world.repeat(VICTIM, at_ms=2_000, copy=1, status=503)


@innocent("A6")
def the_last_attempt_has_no_record_of_its_end(world: World) -> None:
    refused(world, attempts=range(1, 9), status=503)
    world.deliver(VICTIM, at_ms=2_200, attempt=9, outcome=None)


@innocent("A6")
def not_one_byte_of_it_was_sent(world: World) -> None:
    refused(world, outcome=Outcome.FAIL)


@innocent("A6")
def another_copy_was_acknowledged(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.repeat(VICTIM, at_ms=1_500, copy=2, status=503)
    world.ship(VICTIM, at_ms=2_015)


@innocent("A6")
def shipped_and_never_told_so(world: World) -> None:
    refused(world, status=503)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_165)


@innocent("A6")
def refused_because_it_was_cancelled(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_900, topic="orders/cancelled")
    refused(world, status=409)


@innocent("A7")
def the_ninth_attempt_is_ok(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 9))
    world.deliver(VICTIM, at_ms=2_300, copy=2, attempt=9)


@innocent("A7")
def only_the_last_attempt_came_after_the_shipment(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_000, copy=2, every_ms=2.5, took_ms=2)


@innocent("A7")
def the_sender_stopped_after_eight(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 9))


@innocent("A10", "A4")
def shipped_before_anything_and_not_after(world: World) -> None:
    world.ship(VICTIM, at_ms=1_800)
    world.deliver(VICTIM, at_ms=1_900, topic="orders/cancelled")
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status="cancelled")


@innocent("A10")
def cancelled_while_the_payment_was_under_way(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_992, topic="orders/cancelled", took_ms=8)
    settled(world)
    world.hold_state(VICTIM, status="cancelled")


@innocent("A12")
def a_timeout_among_the_refusals(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.FAIL, status=404)
    world.deliver(VICTIM, at_ms=2_000, copy=1, outcome=Outcome.INFO)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_005)


@innocent("A15")
def a_forged_delivery_refused(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, authentic=False, outcome=Outcome.FAIL, status=401)


@innocent("A15")
def nobody_at_work(world: World) -> None:
    a_forged_delivery_refused(world)
    for copy, status in enumerate((502, 503, 504, 301), start=1):
        world.deliver(VICTIM, at_ms=2_000, copy=copy, authentic=False, outcome=Outcome.INFO,
                      status=status)  # fmt: skip


@innocent("A15")
def an_error_in_a_crash(world: World) -> None:
    a_forged_delivery_refused(world)
    world.crash("f", "blind", at_ms=1_990, healed_ms=2_100)
    world.deliver(VICTIM, at_ms=2_000, copy=1, authentic=False, outcome=Outcome.INFO, status=500)


@innocent("A15")
def a_payment_beside_the_forgery(world: World) -> None:
    settled(world)
    a_forged_delivery_refused(world)


@innocent("A15")
def a_forgery_that_has_a_row_of_an_honest_create(world: World) -> None:
    a_forged_delivery_refused(world)
    world.deliver(VICTIM, at_ms=1_900, topic="orders/create")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())


@innocent("A16")
def four_refusals(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 5), status=500)
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=5)


@innocent("A16")
def four_refusals_of_each_of_two_copies(world: World) -> None:
    four_refusals(world)
    world.repeat(VICTIM, at_ms=2_030, copy=3, attempts=range(1, 5), status=500)
    world.deliver(VICTIM, at_ms=2_200, copy=3, attempt=5)


@innocent("A16")
def five_refusals_of_which_one_came_before_the_shipment(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_010, copy=2, attempts=range(1, 6), status=500)
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=6)


@innocent("A16")
def five_timeouts(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 6))
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=6)


@innocent("A16")
def five_refusals_in_a_crash(world: World) -> None:
    settled(world)
    world.crash("f", "blind", at_ms=2_025, healed_ms=2_125)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 6), status=503)
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=6)


@innocent("A2")
def two_shops_share_an_order_id(world: World) -> None:
    settled(world)
    world.settled_order(VICTIM, at_ms=2_003, shop=OTHER_SHOP, lines=OTHER_LINE)
    assert {one.shop for one in world.intents} == {SHOP, OTHER_SHOP}
