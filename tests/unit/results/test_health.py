"""Disturbed and calm, settled, given up: the words that A6, A7, A9, A15 and A16 share."""

import pytest

from results.bundle import Bundle
from results.health import (
    Health,
    answer,
    copies,
    fault_spans,
    given_up,
    merged,
    settled_ns,
)
from results.records import Outcome, Stage
from tests.unit.results.world import FIRST, OTHER_SHOP, SHOP, World, ns

KEY = (SHOP, FIRST)


@pytest.mark.parametrize(
    ("begin_ms", "end_ms", "calm"),
    [(0, 9, True), (0, 10, False), (12, 14, False), (20, 25, False), (21, 29, True),
     (0, 100, False), (29, 31, False), (41, 50, True)],
)  # fmt: skip
def test_a_calm_time_touches_nothing_disturbed(begin_ms: float, end_ms: float, calm: bool) -> None:
    health = Health(((ns(10), ns(20)), (ns(30), ns(40))))
    assert health.calm(ns(begin_ms), ns(end_ms)) is calm


def test_spans_are_merged_where_they_touch() -> None:
    assert merged([(5, 9), (1, 3), (3, 4), (6, 7), (20, 21)]) == ((1, 4), (5, 9), (20, 21))
    assert merged([]) == ()


def spans_of(*stages: tuple[Stage, float]) -> list[tuple[int, int]]:
    world = World()
    world.crash("f", "blind", at_ms=0)
    by_stage = {record.stage: record for record in world.faults}
    missed = by_stage[Stage.HEAL]
    records = []
    for stage, at_ms in stages:
        record = by_stage.get(stage, missed)
        records.append(type(record)(
            fault_id="f", kind="crash", point="blind", stage=stage, at_ns=ns(at_ms)
        ))  # fmt: skip
    return fault_spans(records)


def test_a_fault_lasts_from_its_first_act_to_its_end() -> None:
    assert spans_of((Stage.ASKED, 1)) == []
    assert spans_of((Stage.ASKED, 1), (Stage.MISSED, 9)) == []
    assert spans_of((Stage.ASKED, 1), (Stage.PARKED, 3), (Stage.INJECT, 4), (Stage.HEAL, 9)) == [
        (ns(3), ns(9))
    ]
    assert spans_of((Stage.INTENT, 3), (Stage.MISSED, 5)) == [(ns(3), ns(5))]
    assert spans_of((Stage.EVIDENCE, 3)) == [(ns(3), 2**63)]


def test_two_faults_are_two_spans() -> None:
    world = World()
    world.crash("a", "blind", at_ms=1, healed_ms=5)
    world.crash("b", "blind", at_ms=3, until=Stage.INJECT)
    assert fault_spans(world.faults) == [(ns(1), ns(5)), (ns(3), 2**63)]


def test_holds_disturb_as_faults_do() -> None:
    world = World()
    world.hold(parked_ms=10, released_ms=20)
    world.crash("a", "blind", at_ms=15, healed_ms=30)
    assert Health.of(world.bundle()).disturbed == ((ns(10), ns(30)),)


def test_a_run_whose_control_was_lost_is_never_calm() -> None:
    assert Health.of(World(controller_lost="x").bundle()).calm(0, ns(1e9)) is False
    assert Health.of(World().bundle()).calm(0, ns(1e9)) is True


def test_only_what_was_sent_and_ended_is_an_attempt() -> None:
    world = World()
    world.deliver(FIRST, at_ms=1, outcome=Outcome.FAIL)
    world.deliver(FIRST, at_ms=2, copy=1, outcome=None)
    world.deliver(FIRST, at_ms=3, copy=2, outcome=Outcome.INFO)
    deliveries = world.bundle().history.by_order[KEY]
    health = Health(())
    assert [one.intent.copy for one in health.attempts(deliveries)] == [2]
    assert health.attempts(deliveries, ns(3.5)) == health.attempts(deliveries)
    assert health.attempts(deliveries, ns(3.5) + 1) == []


def test_an_order_is_settled_by_its_first_shipment() -> None:
    world = World()
    world.deliver(FIRST, at_ms=1)
    world.deliver(FIRST, at_ms=1, shop=OTHER_SHOP)
    assert settled_ns(world.bundle(), KEY) is None
    world.ship(FIRST, at_ms=9)
    world.ship(FIRST, at_ms=5)
    world.ship(FIRST, at_ms=2, shop="")  # of either shop
    world.ship(FIRST, at_ms=3, shop=OTHER_SHOP)
    assert settled_ns(world.bundle(), KEY) == ns(5)


def refusals(world: World) -> int:
    bundle: Bundle = world.bundle()
    return len(given_up(bundle, Health.of(bundle), bundle.history.by_order[KEY]))


def test_a_copy_is_given_up_when_its_last_attempt_failed() -> None:
    world = World()
    world.repeat(FIRST, at_ms=1, attempts=range(1, 9))
    assert refusals(world) == 0
    world.deliver(FIRST, at_ms=900, attempt=9, outcome=Outcome.INFO)
    assert refusals(world) == 9
    world = World(attempts=3)
    world.repeat(FIRST, at_ms=1, attempts=range(1, 4))
    assert refusals(world) == 3


def test_a_copy_that_was_answered_ok_once_or_never_to_the_end_is_not() -> None:
    for outcome in (Outcome.OK, None):
        world = World()
        world.repeat(FIRST, at_ms=1, attempts=range(2, 10))
        assert refusals(world) == 8
        world.deliver(FIRST, at_ms=0, outcome=outcome)
        assert refusals(world) == 0


def test_each_copy_stands_for_itself() -> None:
    world = World()
    world.repeat(FIRST, at_ms=1, attempts=range(1, 9), webhook="w")
    world.repeat(FIRST, at_ms=1, attempts=range(1, 10), webhook="w", copy=1)
    deliveries = world.bundle().history.by_order[KEY]
    assert sorted(map(len, copies(deliveries))) == [8, 9]
    assert refusals(world) == 9


def test_one_calm_attempt_is_too_few_and_two_are_enough() -> None:
    for healed_ms, calm in ((155, 2), (175, 0)):
        world = World()
        world.crash("f", "blind", at_ms=0, healed_ms=healed_ms - 20)
        world.repeat(FIRST, at_ms=1)  # the ninth at 161 ms
        assert refusals(world) == calm


def test_an_answer_is_told_in_a_few_words() -> None:
    world = World()
    world.deliver(FIRST, at_ms=1, outcome=Outcome.INFO, status=503)
    world.deliver(FIRST, at_ms=2, copy=1, outcome=Outcome.INFO)
    world.deliver(FIRST, at_ms=3, copy=2, outcome=Outcome.FAIL)
    world.deliver(FIRST, at_ms=4, copy=3, outcome=None)
    told = [answer(one) for one in world.bundle().history.deliveries]
    assert told == ["status 503", "no answer", "connection refused", "no answer"]
