"""Two shops may share an order id, and with it whatever is made from the id alone."""

import pytest

from results.checker import check
from results.coverage import cover
from results.naming import Naming
from results.overlap import overlapping_groups
from results.timeline import explain
from tests.unit.results.planted import VICTIM, settled
from tests.unit.results.world import FIRST, OTHER_SHOP, SHOP, World

MINE, THEIRS = (SHOP, VICTIM), (OTHER_SHOP, VICTIM)


def two_shops() -> World:
    world = World()
    settled(world)
    world.settled_order(VICTIM, at_ms=2_003, shop=OTHER_SHOP)
    return world


def test_their_groups_overlap_each_with_itself() -> None:
    bundle = two_shops().bundle()
    assert bundle.intents[0].group_id == bundle.intents[2].group_id
    assert {key for key, _ in overlapping_groups(bundle)} == {MINE, THEIRS}
    assert (cover(bundle).duplicate_groups, cover(bundle).overlapping_groups) == (2, 2)


def test_transactions_of_two_shops_do_not_overlap_with_one_another() -> None:
    world = World()
    for copy in (0, 1):
        world.deliver(VICTIM, at_ms=2_000, copy=copy)
        world.deliver(VICTIM, at_ms=2_000, copy=copy, shop=OTHER_SHOP)
    for number, intent in enumerate(world.intents[:2]):
        world.transact(VICTIM, replica=f"web-{number}", begin_ms=2_001, end_ms=2_009,
                       keys=(str(VICTIM), intent.webhook_id))  # fmt: skip
    assert overlapping_groups(world.bundle()) == set()
    # Without a webhook id nobody can say whose they are.
    world.transact(VICTIM, replica="web-3", begin_ms=2_001, end_ms=2_009)
    world.transact(VICTIM, replica="web-4", begin_ms=2_001, end_ms=2_009)
    assert overlapping_groups(world.bundle()) == set()
    assert Naming.of(world.bundle().history).of_flight(world.statements[-2]) == frozenset()


def test_a_story_holds_the_steps_of_its_own_shop() -> None:
    world = two_shops()
    world.ship(VICTIM, at_ms=2_060)
    world.end()
    (found,) = check(world.bundle()).anomalies
    timeline = explain(world.bundle(), found)
    texts = [step.text for step in timeline.steps]
    assert sum("→" in text for text in texts) == 2
    assert not any(text.startswith("a-paid") for text in texts)
    assert sum("ships" in text for text in texts) == 2
    assert sum(text == "COMMIT" for text in texts) == 2


def test_one_shop_is_accused_and_the_other_is_not() -> None:
    world = two_shops()
    world.calls = [call for call in world.calls if call.shop == SHOP]
    world.end()
    (found,) = check(world.bundle()).anomalies
    assert (found.code, found.shop) == ("A2", OTHER_SHOP)


@pytest.mark.parametrize(
    ("shipments", "codes"), [(0, {"A2": 2}), (1, {"A2": 1}), (2, {}), (3, {"A1": 1})]
)
def test_shipments_that_name_no_shop_serve_both(shipments: int, codes: dict[str, int]) -> None:
    world = two_shops()
    world.calls.clear()
    for number in range(shipments):
        world.ship(VICTIM, at_ms=2_030 + number, shop="")
    world.end()
    verdict = check(world.bundle())
    assert verdict.totals == codes
    if codes == {"A1": 1}:
        assert "2 shops have an order of that number" in verdict.anomalies[0].message
        assert verdict.anomalies[0].first_ns == world.calls[-1].at_ns


def test_a_shipment_without_a_shop_is_of_the_only_one_there_is() -> None:
    world = World()
    settled(world)
    world.deliver(VICTIM, at_ms=2_000, shop=OTHER_SHOP, topic="orders/create")
    world.calls.clear()
    world.ship(VICTIM, at_ms=2_030, shop="")
    assert list(world.bundle().effects) == [MINE]


def test_an_id_that_was_used_for_two_orders_is_told_by_the_order_beside_it() -> None:
    world = World()
    world.deliver(FIRST, at_ms=1, webhook="w")
    world.deliver(FIRST + 1, at_ms=1, webhook="w", copy=1)
    world.transact(FIRST, replica="web-1", begin_ms=2, end_ms=5, keys=("w", str(FIRST)))
    world.transact(FIRST, replica="web-1", begin_ms=6, end_ms=9, keys=("w",))
    naming = world.bundle().naming
    assert naming.of_flight(world.statements[1]) == {(SHOP, FIRST)}
    assert naming.of_flight(world.statements[4]) == {(SHOP, FIRST), (SHOP, FIRST + 1)}
    assert naming.of_flights(world.statements[:3]) == {(SHOP, FIRST)}
    assert naming.of_flights(world.statements[3:]) == frozenset()


def test_a_payload_names_its_own_order_by_its_webhook() -> None:
    world = World()
    for number in range(3):
        world.deliver(FIRST + number, at_ms=1)
    ids = tuple(str(FIRST + number) for number in range(3))
    world.transact(FIRST, replica="web-1", begin_ms=2, end_ms=5, keys=(*ids, f"paid-{FIRST}-0"))
    world.transact(FIRST, replica="web-1", begin_ms=6, end_ms=9, keys=ids)
    naming = world.bundle().naming
    assert naming.of_flights(world.statements[:3]) == {(SHOP, FIRST)}
    assert naming.of_flights(world.statements[3:]) == frozenset()


def test_a_third_shipment_that_names_no_shop_is_one_too_many() -> None:
    world = two_shops()
    world.ship(VICTIM, at_ms=2_050, shop="")
    world.end()
    assert check(world.bundle()).totals.get("A1") == 1


@pytest.mark.parametrize(("shared", "codes"), [(False, {"A3"}), (True, set())])
def test_of_a_shared_order_id_nobody_knows_the_first_commit(shared: bool, codes: set[str]) -> None:
    """A log that is written last is all that names the order if its id is that of two orders."""
    world = World()
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_600)
    world.transact(VICTIM, replica="web-1", begin_ms=2_500, end_ms=2_540,
                   keys=(world.intents[0].webhook_id,))  # fmt: skip
    if shared:
        world.settled_order(VICTIM, at_ms=3_000, shop=OTHER_SHOP)
    world.end()
    assert set(check(world.bundle()).totals) == codes
