"""Bundles made by hand with an anomaly in them, one way or more for each code.

`planted(name)` is a clean run with one more order, `VICTIM`, that has the anomaly; `DECLARED` says
which codes must then be found, and no others.
"""

from collections.abc import Callable

from results.bundle import Bundle
from results.records import Line, Outcome
from tests.unit.results.clean import clean_world
from tests.unit.results.world import FIRST, ONE_LINE, OTHER_LINE, SKUS, World

VICTIM = FIRST + 99
NEIGHBOUR = FIRST + 98  # of the victim, where an anomaly needs two orders


def settled(world: World) -> None:
    """The victim as it should be."""
    world.settled_order(VICTIM, at_ms=2_000)


def _two_shipments_of_one_row(world: World) -> None:
    settled(world)
    world.ship(VICTIM, at_ms=2_045)


def _two_rows(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, rows=2, logs=2, movements=ONE_LINE * 2)
    world.ship(VICTIM, at_ms=2_031, key="another row")


def _acknowledged_and_never_shipped(world: World) -> None:
    settled(world)
    world.calls = [call for call in world.calls if call.order_id != VICTIM]


def _acknowledged_too_early(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, copy=1, replica="web-2")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    world.deliver(VICTIM, at_ms=2_000, copy=0, replica="web-1", took_ms=60)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


def _lost_between_inbox_and_work(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, copy=7)
    world.queue(VICTIM, at_ms=2_002)
    world.look(at_ms=2_010)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    settled(world)


def _acknowledged_and_nothing_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)


def _shipped_on_create(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, topic="orders/create")
    world.ship(VICTIM, at_ms=2_010)


def _shipped_before_it_was_paid(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=1_999)


def _shipped_and_never_named(world: World) -> None:
    world.ship(VICTIM, at_ms=2_000, shop="")


def _torn(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, took_ms=90)
    world.hold_state(VICTIM, rows=0, logs=0)
    world.look(at_ms=2_010)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


def _logged_and_nothing_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="pending", rows=0, movements=(), ids=("5f2d",))


def _shipped_without_its_order(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, status=None)


def _refused_to_the_end(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000, status=503)


def _recorded_and_never_sent(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000)  # timeouts
    world.hold_state(VICTIM)


def _settled_and_unheard(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2)  # timeouts are no answers, so they amplify nothing


def _settled_and_refused(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, status=409)


def _moved_twice(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=ONE_LINE * 2)


def _moved_too_much(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=(Line(sku=SKUS[0], quantity=3),))


def _stock_leaks(world: World) -> None:
    settled(world)
    world.leaked[SKUS[0]] = 2


def _stock_leaks_beside_an_untouched_order(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.deliver(VICTIM, at_ms=2_010, topic="orders/cancelled", outcome=Outcome.INFO)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.leaked[SKUS[0]] = 2


def _stock_leaks_beside_an_order_that_is_gone(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.INFO)
    world.hold_state(VICTIM, status=None, rows=0, logs=0, movements=())
    world.leaked[SKUS[0]] = 2


def _remembered_and_not_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status="pending", rows=0, movements=())


def _claimed_for_good(world: World) -> None:
    world.repeat(VICTIM, at_ms=2_000, status=409)
    world.hold_state(VICTIM, status=None, rows=0, movements=())


def _shipped_after_its_cancellation(world: World) -> None:
    world.deliver(VICTIM, at_ms=1_900, topic="orders/cancelled")
    settled(world)


def _paid_over_its_cancellation(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, took_ms=40)
    world.deliver(VICTIM, at_ms=2_005, topic="orders/cancelled")
    world.hold_state(VICTIM, status="cancelled", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    world.hold_state(VICTIM)


def _shipped_with_other_lines(world: World) -> None:
    settled(world)
    world.calls.pop()
    world.ship(VICTIM, at_ms=2_020, lines=OTHER_LINE)


def _logged_under_another_order(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_100)
    world.hold_state(NEIGHBOUR, ids=(f"paid-{VICTIM}-0",))


def _shipped_though_refused(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.FAIL, status=404)
    world.deliver(VICTIM, at_ms=2_000, copy=1, outcome=Outcome.FAIL)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_005)


def _shipped_then_acknowledged(world: World) -> None:
    _shipped_though_refused(world)
    world.deliver(VICTIM, at_ms=2_100, attempt=2)


def _slept_through(world: World, *, rows: bool = True) -> None:
    """web-3 freezes inside its transaction; web-4 does the work; web-3 wakes and commits."""
    settled(world)
    world.crash("sleep", "in-transaction", kind="freeze", replica="web-3", at_ms=2_010,
                healed_ms=2_080)  # fmt: skip
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(VICTIM, replica="web-4", begin_ms=2_020, end_ms=2_030)
    if rows:
        world.hold_state(VICTIM, rows=2, movements=ONE_LINE * 2)


def _slept_and_shipped(world: World) -> None:
    _slept_through(world)
    world.ship(VICTIM, at_ms=2_095, key="another row")


def _died_and_wrote(world: World) -> None:
    settled(world)
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(VICTIM, replica="web-4", begin_ms=2_020, end_ms=2_030)
    world.connection_ends(at_ms=2_015, replica="web-3")
    world.hold_state(VICTIM, rows=2)
    world.ship(VICTIM, at_ms=2_095, key="another row")


def _one_client_for_all(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    world.flights(
        [
            ("BEGIN", (), 2_001, 2_002, "I", "T", "BEGIN"),
            ("UPDATE orders SET a = $1", (str(VICTIM),), 2_002, 2_003, "T", "T", "UPDATE 1"),
            ("START TRANSACTION", (), 2_003, 2_004, "T", "T", "BEGIN"),
            ("UPDATE orders SET a = $1", (str(NEIGHBOUR),), 2_004, 2_005, "T", "T", "UPDATE 1"),
            ("COMMIT", (), 2_005, 2_006, "T", "I", "COMMIT"),
        ],
        replica="web-3",
    )


def _forged(world: World, status: int, outcome: Outcome) -> None:
    world.deliver(VICTIM, at_ms=2_000, authentic=False, outcome=outcome, status=status)


def _forged_and_let_in(world: World) -> None:
    _forged(world, 202, Outcome.OK)


def _forged_and_choked_on(world: World) -> None:
    _forged(world, 500, Outcome.INFO)


def _forged_and_shipped(world: World) -> None:
    _forged(world, 401, Outcome.FAIL)
    world.ship(VICTIM, at_ms=2_050)


def _forged_beside_a_refusal(world: World) -> None:
    _forged(world, 401, Outcome.FAIL)
    world.deliver(VICTIM, at_ms=2_010, outcome=Outcome.FAIL, status=413)
    world.hold_state(VICTIM, movements=())
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_050)


def _forged_and_recorded(world: World) -> None:
    _forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, status="pending", logs=0, movements=())


def _forged_and_moved(world: World) -> None:
    _forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, status="pending", rows=0, logs=0)


def _forged_and_paid(world: World) -> None:
    _forged(world, 401, Outcome.FAIL)
    world.hold_state(VICTIM, rows=0, logs=0, movements=())


def _forged_and_shipped_without_an_answer(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, authentic=False, outcome=None)
    world.ship(VICTIM, at_ms=2_050)


def _refused_five_times(world: World) -> None:
    settled(world)
    world.repeat(VICTIM, at_ms=2_030, copy=2, attempts=range(1, 6), status=500)
    world.deliver(VICTIM, at_ms=2_200, copy=2, attempt=6)


def _moved_by_half(world: World) -> None:
    settled(world)
    world.hold_state(VICTIM, movements=(Line(sku=SKUS[0], quantity=1),))


def _acknowledged_before_its_commit(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)  # between two looks: no snapshot saw it missing
    world.ship(VICTIM, at_ms=2_600)
    world.transact(VICTIM, replica="web-1", begin_ms=2_500, end_ms=2_540, connection=9)


PLANTS: dict[str, tuple[set[str], Callable[[World], None]]] = {
    "A1": ({"A1"}, _two_shipments_of_one_row),
    "A1 by two rows": ({"A1", "A8"}, _two_rows),
    "A2": ({"A2"}, _acknowledged_and_never_shipped),
    "A2 by doing nothing": ({"A2", "A3"}, _acknowledged_and_nothing_done),
    "A3": ({"A3"}, _acknowledged_too_early),
    "A3 behind an inbox": ({"A3"}, _lost_between_inbox_and_work),
    "A3 by the wire": ({"A3"}, _acknowledged_before_its_commit),
    "A4": ({"A4"}, _shipped_on_create),
    "A4 before it was paid": ({"A4"}, _shipped_before_it_was_paid),
    "A4 of nobody": ({"A4"}, _shipped_and_never_named),
    "A5": ({"A5"}, _torn),
    "A5 by the log": ({"A5"}, _logged_and_nothing_done),
    "A5 for good": ({"A5", "A3"}, _shipped_without_its_order),
    "A5 line by line": ({"A5"}, _moved_by_half),
    "A6": ({"A6"}, _refused_to_the_end),
    "A6 in the outbox": ({"A6"}, _recorded_and_never_sent),
    "A7": ({"A7"}, _settled_and_unheard),
    "A7 by answers": ({"A7", "A16"}, _settled_and_refused),
    "A8": ({"A8"}, _moved_twice),
    "A8 by the units": ({"A8"}, _moved_too_much),
    "A8 by the sums": ({"A8"}, _stock_leaks),
    "A8 beside a pending one": ({"A8"}, _stock_leaks_beside_an_untouched_order),
    "A8 beside a lost one": ({"A8"}, _stock_leaks_beside_an_order_that_is_gone),
    "A9": ({"A9", "A2", "A3", "A5"}, _remembered_and_not_done),
    "A9 by a claim": ({"A9", "A5", "A6"}, _claimed_for_good),
    "A10": ({"A10"}, _shipped_after_its_cancellation),
    "A10 in the ledger": ({"A10"}, _paid_over_its_cancellation),
    "A11": ({"A11"}, _shipped_with_other_lines),
    "A11 in the log": ({"A11"}, _logged_under_another_order),
    "A12": ({"A12"}, _shipped_though_refused),
    "A12 then acknowledged": ({"A12"}, _shipped_then_acknowledged),
    "A13": ({"A13", "A8"}, _slept_through),
    "A13 and shipped": ({"A13", "A1", "A8"}, _slept_and_shipped),
    "A13 of the dead": ({"A13", "A1"}, _died_and_wrote),
    "A14": ({"A14"}, _one_client_for_all),
    "A15": ({"A15"}, _forged_and_let_in),
    "A15 by an error": ({"A15"}, _forged_and_choked_on),
    "A15 by a shipment": ({"A15"}, _forged_and_shipped),
    "A15 beside a refusal": ({"A15"}, _forged_beside_a_refusal),
    "A15 in the ledger": ({"A15"}, _forged_and_recorded),
    "A15 in the orders": ({"A15"}, _forged_and_paid),
    "A15 in the stock": ({"A15"}, _forged_and_moved),
    "A15 without an answer": ({"A15"}, _forged_and_shipped_without_an_answer),
    "A16": ({"A16"}, _refused_five_times),
}
DECLARED = {name: declared for name, (declared, _) in PLANTS.items()}


def planted(name: str, **manifest: object) -> Bundle:
    """A run with one anomaly: `name` is a code, or a code and another way to get it."""
    world = clean_world(3, **manifest)
    PLANTS[name][1](world)
    world.end()
    return world.bundle()
