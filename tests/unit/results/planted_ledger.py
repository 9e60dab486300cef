"""Planted by what the ledger holds."""

from results.records import Line, Outcome
from tests.unit.results.plants import NEIGHBOUR, VICTIM, counted, plant, settled
from tests.unit.results.world import COUNTED, ONE_LINE, SKUS, World, manifest_of


@plant("A1 by two rows", "A8")
def two_rows(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, rows=2, logs=2, movements=ONE_LINE * 2)
    world.ship(VICTIM, at_ms=2_031, key="another row")


@plant("A3")
def acknowledged_too_early(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, copy=1, replica="web-2")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    world.deliver(VICTIM, at_ms=2_000, copy=0, replica="web-1", took_ms=60)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


@plant("A3 behind an inbox")
def lost_between_inbox_and_work(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, copy=7)
    world.queue(VICTIM, at_ms=2_002)
    world.look(at_ms=2_010)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    settled(world)


@plant("A5")
def torn(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, took_ms=90)
    world.hold_state(VICTIM, rows=0, logs=0)
    world.look(at_ms=2_010)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


@plant("A5 by the log")
def logged_and_nothing_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="pending", rows=0, movements=(), ids=("5f2d",))


@plant("A5 for good", "A3")
def shipped_without_its_order(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, status=None)


@plant("A5 line by line")
def moved_by_half(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=(Line(sku=SKUS[0], quantity=1),))


@plant("A17")
def credited_twice(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    settled(world)
    world.hold_state(VICTIM, counts={"credits": 2, "jobs": 1})


@plant("A17 for a while")
def credited_twice_and_taken_back(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    settled(world)
    world.hold_state(VICTIM, counts={"credits": 1, "jobs": 2})
    world.look(at_ms=2_030)
    world.hold_state(VICTIM, counts={"credits": 1, "jobs": 1})


@plant("A17 in the end")
def a_job_was_lost(world: World) -> None:
    world.manifest = manifest_of(ledger_queries=COUNTED)
    counted(world)
    settled(world)
    world.hold_state(VICTIM, counts={"credits": 1})


@plant("A8")
def moved_twice(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=ONE_LINE * 2)


@plant("A8 by the units")
def moved_too_much(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=(Line(sku=SKUS[0], quantity=3),))


@plant("A8 by the sums")
def stock_leaks(world: World) -> None:
    settled(world)
    world.leaked[SKUS[0]] = 2


@plant("A8 beside a pending one")
def stock_leaks_beside_an_untouched_order(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.deliver(VICTIM, at_ms=2_010, topic="orders/cancelled", outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.leaked[SKUS[0]] = 2


@plant("A8 beside a lost one")
def stock_leaks_beside_an_order_that_is_gone(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.hold_state(VICTIM, status=None, rows=0, logs=0, movements=())
    world.leaked[SKUS[0]] = 2


@plant("A9", "A2", "A3", "A5")
def remembered_and_not_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status="pending", rows=0, movements=())


@plant("A9 by a claim", "A5", "A6")
def claimed_for_good(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000, status=409)
    world.hold_state(VICTIM, status=None, rows=0, movements=())


@plant("A10 in the ledger")
def paid_over_its_cancellation(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, took_ms=40)
    world.deliver(VICTIM, at_ms=2_005, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    world.hold_state(VICTIM)


@plant("A11 in the log")
def logged_under_another_order(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_100)
    world.hold_state(NEIGHBOUR, ids=(f"paid-{VICTIM}-0",))


@plant("A11 of nothing")
def shipped_without_lines(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020, lines=())
