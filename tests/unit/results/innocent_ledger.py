"""Innocent by what the ledger holds and what was shipped: A3, A5, A8 to A11."""

from msgspec.structs import replace

from results.records import Line, Outcome
from tests.unit.results.innocent import innocent
from tests.unit.results.planted import NEIGHBOUR, VICTIM, settled
from tests.unit.results.plants import counted
from tests.unit.results.world import COUNTED, ONE_LINE, OTHER_LINE, SKUS, World, manifest_of


@innocent("A3")
def a_look_that_began_before_the_answer_was_there(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.look(at_ms=2_007.9)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_020)


@innocent("A3")
def a_cancellation_that_began_before_the_look_ended(world: World) -> None:
    settled(world)
    world.look(at_ms=2_030)
    world.hold_state(VICTIM, status="cancelled", rows=0, logs=0, movements=())
    world.deliver(VICTIM, at_ms=2_041, topic="orders/cancelled", outcome=Outcome.INFO)
    world.look(at_ms=2_040)


@innocent("A3")
def shipped_and_its_fulfillment_removed(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("fulfillments", "webhook_log"))
    world.deliver(VICTIM, at_ms=2_000)
    world.ship(VICTIM, at_ms=2_005)
    world.hold_state(VICTIM, rows=0, logs=0)


@innocent("A3")
def a_ledger_without_orders(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("fulfillments", "webhook_log"))
    settled(world)
    world.states = {key: replace(state, status=None) for key, state in world.states.items()}


@innocent("A3")
def a_ledger_without_fulfillments(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("orders", "webhook_log"))
    settled(world)
    world.states = {key: replace(state, fulfillments=()) for key, state in world.states.items()}
    world.look(at_ms=2_010)


@innocent("A3")
def acknowledged_from_an_inbox(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("orders", "fulfillments", "movements", "inbox"))
    world.deliver(VICTIM, at_ms=2_000, copy=7)
    world.queue(VICTIM, at_ms=2_002)
    world.look(at_ms=2_010)
    world.settled_order(VICTIM, at_ms=2_020)


@innocent("A5")
def a_log_that_keeps_other_topics_too(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, topic="orders/create")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=(),
                     ids=(f"create-{VICTIM}-0",))  # fmt: skip
    world.look(at_ms=2_010)
    world.deliver(VICTIM, at_ms=2_020)
    world.hold_state(VICTIM, ids=(f"create-{VICTIM}-0",))
    world.ship(VICTIM, at_ms=2_030)


@innocent("A5")
def a_log_that_keeps_ids_in_a_form_of_its_own(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, logs=0, ids=("5f2d",))


@innocent("A5")
def cancelled_with_its_work_left_in_place(world: World) -> None:
    settled(world)
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled")
    world.look(at_ms=2_045)


@innocent("A8")
def a_cancelled_order_is_given_back_with_a_movement(world: World) -> None:
    settled(world)
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled",
                     movements=(*ONE_LINE, Line(sku=SKUS[0], quantity=-2)))  # fmt: skip


@innocent("A8")
def a_cancelled_order_is_given_back_without_one(world: World) -> None:
    settled(world)
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled")
    world.leaked[SKUS[0]] = -2


@innocent("A8")
def a_cancelled_order_is_not_given_back(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("orders", "stock"))
    settled(world)
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled")


@innocent("A8")
def a_paid_order_of_somebody_else(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("orders", "stock"))
    world.hold_state(VICTIM)


@innocent("A8")
def an_order_of_which_the_sender_said_two_things(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_999, copy=2, lines=OTHER_LINE)
    settled(world)


@innocent("A8")
def an_order_whose_lines_the_sender_did_not_say(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000, lines=())
    world.hold_state(VICTIM)
    world.leaked[SKUS[0]] = 0


@innocent("A9", "A6")
def a_log_entry_of_another_topic(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, topic="orders/create")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=(),
                     ids=(f"create-{VICTIM}-0",))  # fmt: skip
    world.repeat(VICTIM, at_ms=2_010, status=503)


@innocent("A9", "A5")
def a_claim_of_the_dead_that_nobody_asked_for_again(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="pending", rows=0, movements=())


@innocent("A9", "A2", "A3", "A5")
def remembered_and_paid_and_nothing_else(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.hold_state(VICTIM, rows=0)


@innocent("A9", "A2", "A3", "A5")
def remembered_and_to_be_shipped(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.hold_state(VICTIM, status="pending")


@innocent("A9", "A5", "A3")
def remembered_and_shipped(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, status="pending", rows=0, movements=())


@innocent("A9")
def remembered_and_then_cancelled(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.deliver(VICTIM, at_ms=2_006, topic="orders/cancelled")
    world.hold_state(VICTIM, status=None, rows=0, movements=())


@innocent("A10")
def paid_and_then_cancelled(world: World) -> None:
    settled(world)
    world.look(at_ms=2_030)
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled")


@innocent("A10")
def cancelled_first_and_never_shipped(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_900, topic="orders/cancelled")
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status="cancelled", rows=0, logs=0, movements=())


@innocent("A11")
def the_same_units_in_other_lines(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020, lines=(Line(sku=SKUS[0], quantity=1),) * 2)


@innocent("A11")
def a_provider_that_is_told_no_lines(world: World) -> None:
    settled(world)
    world.calls = [replace(call, lines=()) for call in world.calls]


@innocent("A11")
def an_order_of_which_the_sender_said_no_lines(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000, lines=())
    world.hold_state(VICTIM)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020, lines=ONE_LINE)


@innocent("A11")
def the_lines_of_its_second_delivery(world: World) -> None:
    settled(world)
    world.deliver(VICTIM, at_ms=2_001, copy=2, lines=OTHER_LINE)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020)


@innocent("A11")
def one_id_that_was_sent_for_two_orders(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_100)
    world.deliver(NEIGHBOUR, at_ms=2_100, copy=7, webhook=f"paid-{VICTIM}-0")
    world.hold_state(NEIGHBOUR, ids=(f"paid-{VICTIM}-0",))


@innocent("A17")
def counted_once_by_each(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    settled(world)
    world.look(at_ms=2_010)  # its job comes later
    world.hold_state(VICTIM, counts={"credits": 1, "jobs": 1})


@innocent("A17")
def a_job_of_an_order_that_may_be_cancelled(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    settled(world)
    world.hold_state(VICTIM, counts={"credits": 1})
    world.deliver(VICTIM, at_ms=2_050, topic="orders/cancelled", outcome=Outcome.INFO)


@innocent("A17")
def nothing_was_promised(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)


@innocent("A17")
def an_older_order_that_was_counted_twice(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=("count credits",))
    counted(world)
    world.hold_state(VICTIM, status=None, rows=0, logs=0, movements=(), counts={"credits": 2})
