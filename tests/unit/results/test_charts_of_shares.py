"""Percentile curve, generator and price: their figures against a count by hand."""

import pytest

from results.charts.generator import generator_figures
from results.charts.percentiles import RUNS_MAX, Curve, percentiles_figures
from results.charts.price import PricedCell, price_figures
from results.checker import check
from results.records import Outcome, Thresholds
from results.verdict import Validity
from tests.unit.results.world import World

VALID, INVALID, UNKNOWN = Validity.VALID, Validity.INVALID, Validity.UNKNOWN


def of_latencies(*took_ms: float, **manifest: object) -> World:
    world = World(**manifest)
    for number, took in enumerate(took_ms):
        world.deliver(number, at_ms=number * 10.0, took_ms=took, late_ms=0.5)
    return world


def value_at(curve: Curve, share: float) -> float:
    return next(ms for at, ms in curve.points if at >= share)


def test_the_curve_has_the_exact_percentiles_and_ends_with_the_slowest() -> None:
    world = of_latencies(*range(1_000, 0, -1))
    figures = percentiles_figures([("from the intended send", world.bundle())])
    intended, actual = figures.curves
    assert (intended.actual, actual.actual) == (False, True)
    for share, ms in ((0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1_000)):
        assert value_at(intended, share) == ms
        assert value_at(actual, share) == ms - 0.5
    assert all(ms == round(share * 1_000) for share, ms in intended.points)
    assert figures.title == (
        "99.9 % of 1,000 answers came within 999 ms of the intended send, the slowest after 1 s"
    )


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "The only answer took"), (2, "50 % of 2"), (99, "90 % of 99"), (100, "99 % of 100")],
)
def test_no_percentile_is_told_that_so_few_deliveries_do_not_have(count: int, told: str) -> None:
    world = of_latencies(*range(1, count + 1))
    assert percentiles_figures([("x", world.bundle())]).title.startswith(told)


def test_several_runs_have_one_curve_each_and_so_many_at_most() -> None:
    slow, fast = of_latencies(*[20.0] * 100), of_latencies(*[5.0] * 100)
    figures = percentiles_figures([("before", slow.bundle()), ("after", fast.bundle())])
    assert [(curve.name, curve.actual) for curve in figures.curves] == [
        ("before", False), ("after", False),
    ]  # fmt: skip
    assert figures.title == "99 % were acknowledged within 20 ms (before), 5 ms (after)"
    many = percentiles_figures([(str(n), fast.bundle()) for n in range(RUNS_MAX + 3)])
    assert len(many.curves) == RUNS_MAX


def test_a_long_run_has_few_points() -> None:
    world = of_latencies(*[1.0] * 20_000)
    assert len(percentiles_figures([("x", world.bundle())]).curves[0].points) < 120


def bursts() -> World:
    """Two groups: copies 3 ms and 50 ms apart; a third one of which one copy never left."""
    world = World(thresholds=Thresholds(overlapping_groups=7, lateness_p99_ms=40.0))
    world.deliver(1, at_ms=0, late_ms=1)
    world.deliver(1, at_ms=0, copy=1, late_ms=4)
    world.deliver(2, at_ms=100, late_ms=10, took_ms=80)
    world.deliver(2, at_ms=100, copy=1, late_ms=60, took_ms=90)
    world.deliver(3, at_ms=200, late_ms=2)
    world.deliver(3, at_ms=200, copy=1, outcome=Outcome.FAIL)
    world.deliver(3, at_ms=300, copy=1, attempt=2, late_ms=999, took_ms=1_000)  # a retry
    return world


def test_lateness_is_of_first_attempts_and_skew_of_copies_that_left() -> None:
    world = bursts()
    world.end(shed=5, planned=8)
    bundle = world.bundle()
    verdict = check(bundle)
    figures = generator_figures(bundle, verdict)
    late = figures.lateness
    assert (late.count, late.p50_ms, late.p99_ms) == (5, 4, 60)
    assert late.p99_ms == verdict.coverage.lateness_p99_ms
    # 10^(n/6) ms: 1 ms is bin 0, 2 ms bin 1, 4 ms bin 3, 10 ms bin 6, 60 ms bin 10.
    assert dict(late.bins) == {0: 1, 1: 1, 3: 1, 6: 1, 10: 1}
    assert (figures.skew.count, figures.skew.p50_ms, figures.skew.p99_ms) == (2, 3, 50)
    assert (figures.planned_orders, figures.shed_orders) == (8, 5)
    assert figures.lateness_p99_allowed_ms == 40.0
    assert figures.title == (
        "The sender was late: p99 60 ms behind its schedule, 40 ms are allowed; 99 % of the groups "
        "left within 50 ms; 5 orders were shed"
    )


def test_the_overlap_is_the_verdicts_own() -> None:
    world = bursts()
    world.settled_order(4, at_ms=500)
    bundle = world.bundle()
    figures = generator_figures(bundle, check(bundle))
    assert (figures.groups, figures.overlapping_asked) == (4, 7)
    assert figures.overlapping_for_the_sender == 3  # 1, 2 and 4
    assert figures.overlapping_at_the_wire == 1
    world.manifest = World(has_wire=False).manifest
    figures = generator_figures(world.bundle(), check(world.bundle()))
    assert figures.overlapping_at_the_wire is None


def cell(
    strategy: str, scenario: str, p99_ms: float | None, rate: float | None = 50.0,
    validity: Validity = VALID, seed: int = 1,
) -> PricedCell:  # fmt: skip
    return PricedCell(
        strategy=strategy, scenario=scenario, provider="honours", seed=seed, validity=validity,
        p99_ms=p99_ms, ok_per_second=rate,
    )  # fmt: skip


def test_a_price_is_relative_to_the_best_of_the_same_scenario() -> None:
    figures = price_figures(
        ["naive", "careful", "right"],
        [
            cell("naive", "calm", 10, 50, INVALID), cell("right", "calm", 20, 40),
            cell("naive", "storm", 1_000, 20, INVALID), cell("right", "storm", 500, 25),
            cell("naive", "kill", 100, 10, INVALID), cell("right", "kill", 300, 10),
            cell("careful", "calm", 80, 50),
        ],
    )  # fmt: skip
    naive, careful, right = figures.prices
    assert [one.p99_ratio for one in naive.cells] == [1, 2, 1]
    assert [one.p99_ratio for one in right.cells] == [2, 1, 3]
    assert [one.ok_per_second_ratio for one in right.cells] == [0.8, 1, 1]
    assert (naive.p99_ratio, careful.p99_ratio, right.p99_ratio) == (1, 8, 2)
    assert (naive.broken, right.broken) == (True, False)
    assert figures.title == "The fastest that kept every promise: right, p99 2.00 × the best"


def test_what_proved_nothing_or_stands_alone_has_no_price() -> None:
    figures = price_figures(
        ["a", "b"],
        [
            cell("a", "calm", 10), cell("b", "calm", 5, validity=UNKNOWN),
            cell("a", "storm", 10), cell("b", "storm", None, None),
            cell("a", "kill", 10, seed=1), cell("b", "kill", 10, seed=2),
        ],
    )  # fmt: skip
    assert [price.cells for price in figures.prices] == [(), ()]
    assert figures.title.startswith("Nothing to compare")


def test_a_right_strategy_that_is_the_fastest_has_that_title() -> None:
    figures = price_figures(["a", "b"], [cell("a", "x", 9, 1, INVALID), cell("b", "x", 3)])
    assert figures.title == "b kept every promise and was the fastest"


def test_without_a_strategy_that_kept_its_promises_the_title_says_so() -> None:
    figures = price_figures(
        ["a", "b"], [cell("a", "x", 1, 1, INVALID), cell("b", "x", 2, 1, INVALID)]
    )
    assert figures.title == "No strategy kept every promise, whatever it cost"


def test_a_verdict_says_how_many_were_acknowledged_each_second() -> None:
    world = of_latencies(*[5.0] * 101)  # intended within one second, and answered 5 ms later
    world.deliver(900, at_ms=3_000, outcome=Outcome.INFO)
    latency = check(world.bundle()).latency
    assert latency.seconds == pytest.approx(1.005)
    assert latency.ok_per_second == pytest.approx(101 / 1.005)
    assert check(World().bundle()).latency.ok_per_second is None
