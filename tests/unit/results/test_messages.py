"""Each anomaly says which order it is, what was seen, when it first showed, and how to mend it."""

import pytest

from results.anomalies.catalogue import CATALOGUE
from results.checker import check
from results.records import Line, Outcome
from tests.unit.results.clean import clean_world
from tests.unit.results.planted import DECLARED, NEIGHBOUR, VICTIM, planted, settled
from tests.unit.results.world import ONE_LINE, SKUS, World, ns

ORDER, WEBHOOK = f"Order {VICTIM}", f"paid-{VICTIM}-2"
SAID: dict[str, tuple[str, float]] = {
    "A1": (f"{ORDER} was shipped 2 times (shipment-3, shipment-4); the second shipment came "
           "25.0 ms after the first.", 2_045),
    "A2": (f"{ORDER} was acknowledged 2 times out of 2 and shipped 0 times.", 2_008),
    "A2 by doing nothing": (f"{ORDER} was acknowledged 1 time out of 1 and shipped 0 times.",
                            2_008),
    "A3": (f"{ORDER} had been acknowledged for 12.0 ms when a snapshot of the ledger showed it "
           "as 'pending' and no fulfillment of it.", 2_020),
    "A4": (f"{ORDER} was shipped without an orders/paid before it: none was ever sent.", 2_010),
    "A4 before it was paid": (f"{ORDER} was shipped without an orders/paid before it: the first "
                              "came 1.0 ms later.", 1_999),
    "A5": (f"For order {VICTIM} 1 snapshot in a row showed the order as paid and a stock "
           "movement, but not a fulfillment nor a webhook log entry.", 2_010),
    "A6": (f"{ORDER} was delivered 9 times and never acknowledged or shipped; nothing else was "
           "wrong during 9 attempts of one copy, the last of which got status 503.", 2_160),
    "A7": (f"{ORDER} was shipped, and webhook {WEBHOOK} was still refused 9 times after that, at "
           "last with no answer; the sender gave up.", 2_030),
    "A8": (f"{ORDER} has 2 movements of ONCE-001 (4 units, 2 ordered).", 10_000),
    "A8 by the sums": ("7 units of ONCE-001 are gone from the stock, but the movements say 5, "
                       "the paid orders say 5.", 10_000),
    "A9": (f"{ORDER} was acknowledged, and in the end its webhook paid-{VICTIM}-0 is in the log, "
           "the order pending, and nothing shipped or to be shipped.", 10_000),
    "A9 by a claim": (f"{ORDER} was refused to the end, and in the end its webhook "
                      f"paid-{VICTIM}-0 is in the log, the order not there, and nothing shipped "
                      "or to be shipped.", 10_000),
    "A10": (f"{ORDER} was shipped 112.0 ms after its cancellation was acknowledged; its "
            "orders/paid had not even begun then.", 2_020),
    "A10 in the ledger": (f"{ORDER} was cancelled in one snapshot of the ledger and paid in a "
                          "later one.", 10_000),
    "A11": (f"{ORDER} has 2 ONCE-001, and 1 ONCE-002 was shipped.", 2_020),
    "A11 in the log": (f"Webhook paid-{VICTIM}-0 was sent for order {VICTIM} of "
                       "onceproof-demo.myshopify.com, and is in the log under order "
                       f"{NEIGHBOUR} of onceproof-demo.myshopify.com.", 10_000),
    "A12": (f"{ORDER} was shipped, and every delivery before that was refused (2: connection "
            "refused, status 404).", 2_005),
    "A13": (f"web-3 was stopped in the middle of order {VICTIM}; web-4 wrote and committed it, "
            "and 60.0 ms later so did what was left of web-3.", 2_090),
    "A15": (f"{ORDER} had a forged delivery: one was answered 202.", 2_000),
    "A15 beside a refusal": (f"{ORDER} had a forged delivery: it was shipped without any other "
                             "cause and the ledger shows its work without any other cause.",
                             2_050),
    "A16": (f"{ORDER} was shipped, and webhook {WEBHOOK} was refused 5 times after that, at last "
            "with status 500.", 2_110),
    "A17": (f"{ORDER} took effect 2 times by credits.", 10_000),
    "A17 for a while": (f"{ORDER} took effect 2 times by jobs.", 2_030),
    "A17 in the end": (f"{ORDER} was acknowledged, and in the end it never took effect by jobs.",
                       2_008),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_message_names_the_order_and_what_was_seen(name: str) -> None:
    code = name.split(maxsplit=1)[0]
    (found,) = check(planted(name)).by_code()[code]
    message, first_ms = SAID[name]
    assert found.message == message
    assert found.first_ns in (ns(first_ms), ns(first_ms + 0.5))  # intended, or sent
    assert (found.name, found.fix) == CATALOGUE[code]
    assert found.shop == ("" if name == "A8 by the sums" else "onceproof-demo.myshopify.com")


def test_every_code_has_its_message_in_this_list() -> None:
    assert {name.split(maxsplit=1)[0] for name in SAID} | {"A14"} == set(CATALOGUE), "SAID"
    assert SAID.keys() <= DECLARED.keys()


def test_both_orders_of_a_shared_transaction_are_named_once() -> None:
    world = World()
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    for at_ms in (2_001, 2_101):
        world.flights(
            [
                ("BEGIN; UPDATE a", (str(VICTIM),), at_ms, at_ms + 1, "I", "T", "UPDATE 1"),
                ("begin", (), at_ms + 1, at_ms + 2, "T", "T", "BEGIN"),
                ("UPDATE a", (str(NEIGHBOUR),), at_ms + 2, at_ms + 3, "T", "T", "UPDATE 1"),
                ("COMMIT", (), at_ms + 3, at_ms + 4, "T", "I", "COMMIT"),
            ],
            replica="web-3",
            connection=7,
        )
    world.end()
    one, two = check(world.bundle()).by_code()["A14"]
    shared = "shared connection 7 of web-3, and one open transaction, with order"
    assert one.message == f"Order {NEIGHBOUR} {shared} {VICTIM}."
    assert two.message == f"Order {VICTIM} {shared} {NEIGHBOUR}."
    assert {one.first_ns, two.first_ns} == {ns(2_001)}


def test_what_was_refused_before_the_shipment_is_counted_and_nothing_after_it() -> None:
    world = clean_world(3)
    world.deliver(VICTIM, at_ms=2_000, outcome=Outcome.FAIL, status=400)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_000)
    world.deliver(VICTIM, at_ms=2_001, attempt=2, outcome=Outcome.FAIL, status=401)
    world.end()
    (found,) = check(world.bundle()).anomalies
    assert found.message.endswith("was refused (1: status 400).")


def test_the_stock_is_complained_of_once_a_sku() -> None:
    world = clean_world(3)
    world.leaked = dict.fromkeys(SKUS, 1)
    world.look(at_ms=1_000)
    world.leaked = dict.fromkeys(SKUS, 2)
    world.end()
    verdict = check(world.bundle())
    assert verdict.totals == {"A8": 2}
    assert {one.first_ns for one in verdict.anomalies} == {ns(1_000)}


def test_what_a_snapshot_lacks_is_told() -> None:
    (found,) = check(planted("A2 by doing nothing")).by_code()["A3"]
    assert found.message.endswith("showed no such order and no fulfillment of it.")


def test_the_snapshots_that_showed_it_are_counted() -> None:
    world = clean_world(3)
    world.deliver(VICTIM, at_ms=2_000, took_ms=90)
    world.hold_state(VICTIM, rows=0)
    world.look(at_ms=2_010)
    world.look(at_ms=2_020)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)
    world.end()
    (found,) = check(world.bundle()).anomalies
    assert f"For order {VICTIM} 2 snapshots in a row showed" in found.message


def test_forgeries_are_told_together() -> None:
    world = clean_world(3)
    for copy, status in enumerate((500, 200, 200)):
        outcome = Outcome.OK if status == 200 else Outcome.INFO
        world.deliver(VICTIM, at_ms=2_010 - copy, copy=copy, authentic=False, outcome=outcome,
                      status=status)  # fmt: skip
    world.end()
    (found,) = check(world.bundle()).anomalies
    assert found.message == (
        f"{ORDER} had 3 forged deliveries: one was answered 200 and one was answered 500."
    )
    assert found.first_ns == ns(2_008)


def test_a_shipment_of_nothing_is_told() -> None:
    world = clean_world(3)
    world.settled_order(VICTIM, at_ms=2_000)
    world.ship(VICTIM, at_ms=2_050, lines=())
    world.end()
    (found,) = check(world.bundle()).by_code()["A11"]
    assert found.message.endswith("and nothing was shipped.")


def test_where_nothing_moved_no_units_are_counted() -> None:
    world = clean_world(3)
    world.settled_order(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, movements=())
    world.end()
    (found,) = check(world.bundle()).by_code()["A5"]
    assert found.message.endswith("but not a stock movement.")


def test_what_is_not_stocked_need_not_move() -> None:
    world = clean_world(3)
    world.settled_order(VICTIM, at_ms=2_000, lines=(*ONE_LINE, Line(sku="GIFT", quantity=1)))
    world.hold_state(VICTIM, movements=ONE_LINE)
    world.end()
    assert check(world.bundle()).totals == {}
