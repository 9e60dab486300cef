"""Two runs side by side: what is new, gone or worse, and what must not be compared."""

from dataclasses import replace

import pytest

from results.bundle import Bundle, Note
from results.comparison import Comparison, compare
from results.records import Outcome
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.planted import planted
from tests.unit.results.world import FIRST


def ended(**manifest: object) -> Bundle:
    world = clean_world(3, **manifest)
    world.end()
    return world.bundle()


def changes(comparison: Comparison) -> dict[str, str]:
    return {item.code: item.change for item in comparison.codes}


def test_the_same_run_twice_is_no_worse() -> None:
    comparison = compare(clean(3), clean(3))
    assert (comparison.exit_status, comparison.worse, comparison.obstacles) == (0, (), ())
    assert comparison.codes == ()
    assert all(item.before == item.after for item in comparison.coverage)
    assert not any(item.differs for item in comparison.latencies)


def test_a_code_that_was_not_there_is_new_and_worse() -> None:
    comparison = compare(clean(3), planted("A1"))
    assert comparison.exit_status == 1
    assert changes(comparison) == {"A1": "new"}
    assert len(comparison.worse) == 2  # the verdict fell, too
    assert "fell from valid to invalid" in comparison.worse[0]


def test_another_code_of_an_invalid_run_is_worse() -> None:
    comparison = compare(planted("A1"), planted("A1 by two rows"))
    assert comparison.exit_status == 1
    assert changes(comparison) == {"A1": "same", "A8": "new"}
    (sentence,) = comparison.worse
    assert "A8 double-stock-decrement is new: found 1, and was not found before" in sentence


def test_a_code_that_is_gone_or_rarer_is_not_worse() -> None:
    assert compare(planted("A1 by two rows"), planted("A1")).exit_status == 0
    comparison = compare(planted("A1"), clean(3))
    assert (comparison.exit_status, changes(comparison)) == (0, {"A1": "gone"})


def test_more_of_the_same_is_told_and_is_not_worse() -> None:
    def doubled(*orders: int) -> Bundle:
        world = clean_world(3, orders=3)
        for order in orders:
            world.ship(order, at_ms=5_000)
        world.end()
        return world.bundle()

    once, twice = doubled(FIRST), doubled(FIRST, FIRST + 1)
    assert (compare(once, twice).exit_status, changes(compare(once, twice))["A1"]) == (0, "more")
    assert changes(compare(twice, once))["A1"] == "fewer"


def test_a_code_that_is_not_judged_any_more_is_never_gone() -> None:
    torn = Note(file="ledger.jsonl", line=1, torn=False, problem="x")
    blind = replace(planted("A1 by two rows"), notes=(torn,))
    comparison = compare(planted("A1 by two rows"), blind)
    assert changes(comparison) == {
        "A1": "same", **dict.fromkeys(("A3", "A5", "A8", "A9"), "not judged any more")
    }  # fmt: skip
    assert "A8 double-stock-decrement is not judged any more." in comparison.worse
    back = compare(blind, planted("A1 by two rows"))
    assert (changes(back)["A8"], changes(back)["A3"]) == ("new", "judged now")
    assert "was not judged before" in back.worse[0]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"scenario": "distinct_ids"}, "scenarios differ: duplicate_storm and distinct_ids"),
        ({"strategy": "article"}, "strategies differ"),
        ({"provider": "ignores"}, "providers differ"),
        ({"asked_faults": {"crash:blind": 1}}, "faults asked for differ"),
        ({"format_version": 0}, "formats differ"),
        ({"ledger_queries": ("orders",)}, "ledgers declared differ"),
    ],
)
def test_what_is_not_alike_is_not_comparable(other: dict[str, object], said: str) -> None:
    comparison = compare(ended(), ended(**other))
    assert comparison.exit_status == 2
    assert said in comparison.obstacles[0]


@pytest.mark.parametrize("turned", [False, True])
def test_an_unknown_run_is_no_baseline_and_no_proof(turned: bool) -> None:
    pair = [planted("A1"), ended(status="interrupted")]
    comparison = compare(*(reversed(pair) if turned else pair))
    assert comparison.exit_status == 2
    assert "is unknown" in comparison.obstacles[0]


def test_an_objective_that_was_met_and_is_missed_is_worse() -> None:
    slow = clean_world(3, slos=("p99<100ms",))
    slow.deliver(FIRST, at_ms=200, copy=5, took_ms=900)
    slow.end()
    fast = ended(slos=("p99<100ms",))
    comparison = compare(fast, slow.bundle())
    assert comparison.exit_status == 1
    assert "p99<100ms missed: 900.0 ms" in comparison.worse[0]
    assert compare(slow.bundle(), slow.bundle()).exit_status == 0
    assert compare(slow.bundle(), fast).exit_status == 0


def test_latencies_differ_only_where_their_intervals_are_apart() -> None:
    def taking(took_ms: float) -> Bundle:
        world = clean_world(3)
        for number in range(400):
            spread = took_ms * (1 + number / 4_000)
            world.deliver(FIRST, at_ms=200, copy=10 + number, took_ms=spread)
        world.end()
        return world.bundle()

    slower = compare(taking(20), taking(40))
    assert [item.differs for item in slower.latencies] == [True, True]
    assert slower.exit_status == 0  # a latency decides nothing
    alike = compare(taking(20), taking(20.01))
    assert [item.differs for item in alike.latencies] == [False, False]
    assert [item.before.share for item in alike.latencies] == [0.5, 0.99]


def test_findings_and_coverage_stand_side_by_side() -> None:
    world = clean_world(3)
    world.deliver(FIRST, at_ms=200, copy=5, outcome=Outcome.INFO, status=500)
    world.end()
    comparison = compare(clean(3), world.bundle())
    counts = {item.name: (item.before, item.after) for item in comparison.findings}
    before, after = counts["spurious-5xx"]
    assert after == before + 1
    figures = {item.name: (item.before, item.after) for item in comparison.coverage}
    assert figures["deliveries (retries)"][0] != figures["deliveries (retries)"][1]
