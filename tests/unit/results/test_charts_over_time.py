"""Timeline, latency and heat map: their figures against a count by hand."""

import math

import pytest
from msgspec.structs import replace

from results.charts.faults import LANES_MAX, RESOLUTION, bands, fault_spans, lanes
from results.charts.heatmap import COLUMNS_MAX, heatmap_figures
from results.charts.latency import WINDOWS_MAX, Percentiles, latency_figures
from results.charts.timeline import timeline_figures
from results.charts.windows import Span, Windows
from results.checker import check
from results.records import Outcome
from results.verdict import Validity
from tests.unit.results.world import World

NONE = Percentiles(p50=None, p90=None, p99=None)


def span_of(world: World) -> Span:
    return Span.of(world.bundle().history.deliveries)


def ten_seconds() -> World:
    """Three answers in the first half second, one in the last, two that were none."""
    world = World()
    world.deliver(1, at_ms=0, took_ms=10, late_ms=4)
    world.deliver(1, at_ms=0, copy=1, took_ms=30, late_ms=5)
    world.deliver(2, at_ms=100, took_ms=200, late_ms=100)
    world.deliver(3, at_ms=2_600, outcome=Outcome.INFO, status=500)
    world.deliver(3, at_ms=2_700, attempt=2, outcome=Outcome.FAIL)
    world.deliver(3, at_ms=9_900, attempt=3, took_ms=100, late_ms=0)
    return world


@pytest.mark.parametrize(
    ("seconds", "most", "step", "count", "last"),
    [
        (10.0, 60, 0.25, 40, 10.0),
        (3.0, 60, 0.05, 60, 3.0),
        (3.001, 60, 0.1, 30, 3.001),  # a rest of a hundredth belongs to the window before it
        (0.0, 60, 0.05, 1, 0.05),
        (0.01, 60, 0.05, 1, 0.01),
        (90.6, 60, 2, 45, 90.6),
        (3_600_000.0, 60, 60_000.0, 60, 3_600_000.0),
    ],
)
def test_windows_are_round_and_not_too_many(
    seconds: float, most: int, step: float, count: int, last: float
) -> None:
    windows = Windows.over(seconds, at_least=0.05, most=most)
    assert windows.step_seconds == step
    assert len(windows.edges) == count + 1
    assert windows.edges[-1] == last
    assert sum(windows.width(n) for n in range(count)) == pytest.approx(last)
    assert windows.index(last) == count - 1
    assert windows.index(-1) == 0


def test_the_timeline_counts_every_delivery_in_its_window() -> None:
    bundle = ten_seconds().bundle()
    figures = timeline_figures(bundle, check(bundle))
    assert (figures.seconds, figures.window_seconds) == (10.0, 0.25)
    rates = {
        layer.name: {n: rate for n, rate in enumerate(layer.per_second) if rate}
        for layer in figures.layers
    }
    assert rates == {
        "first ok": {0: 8.0, 39: 4.0},  # orders 1 and 2, then 3
        "ok again": {0: 4.0},
        "unknown": {10: 4.0},
        "refused": {10: 4.0},
    }
    assert [(layer.name, layer.count) for layer in figures.layers] == [
        ("first ok", 3), ("ok again", 1), ("unknown", 1), ("refused", 1),
    ]  # fmt: skip


def test_the_first_ok_is_the_one_that_was_answered_first() -> None:
    world = World()
    world.deliver(1, at_ms=0, took_ms=900)
    world.deliver(1, at_ms=300, copy=1, took_ms=10)
    world.deliver(1, at_ms=600, copy=2, took_ms=200)
    world.deliver(1, at_ms=400, topic="orders/cancelled", took_ms=10)
    bundle = world.bundle()
    first, again = timeline_figures(bundle, check(bundle)).layers
    assert (first.count, again.count) == (2, 2)  # the payment, and the other topic
    assert first.per_second == (0, 8, 0, 0)  # at 300 and 400 ms, of windows of 250 ms
    assert again.per_second == (4, 0, 4, 0)


def test_the_title_of_the_timeline_is_the_verdict_and_red_if_it_is_broken() -> None:
    world = World()
    world.deliver(1, at_ms=0)
    world.ship(1, at_ms=50)
    world.ship(1, at_ms=60)
    bundle = world.bundle()
    assert not timeline_figures(bundle, replace(check(bundle), validity=Validity.VALID)).broken
    figures = timeline_figures(bundle, check(bundle))
    assert figures.broken
    assert "duplicate-shipment" in figures.title


def test_latency_is_measured_from_both_sends_window_by_window() -> None:
    figures = latency_figures(ten_seconds().bundle())
    assert len(figures.windows) == 20
    first, last = figures.windows[0], figures.windows[-1]
    assert (first.at_seconds, first.count) == (0.25, 3)
    assert first.intended_ms == Percentiles(p50=30, p90=200, p99=200)
    assert first.sent_ms == Percentiles(p50=25, p90=100, p99=100)
    assert (last.at_seconds, last.count, last.intended_ms.p50) == (9.75, 1, 100)
    for window in figures.windows[1:-1]:
        assert (window.count, window.intended_ms, window.sent_ms) == (0, NONE, NONE)
    assert figures.title == (
        "99 % were acknowledged within 200 ms; counted from the actual send it would read 100 ms"
    )


def test_forged_deliveries_have_no_latency_in_the_charts_and_in_the_verdict() -> None:
    world = ten_seconds()
    world.deliver(4, at_ms=5_000, took_ms=4_000, authentic=False, outcome=Outcome.OK)
    bundle = world.bundle()
    assert sum(window.count for window in latency_figures(bundle).windows) == 4
    assert check(bundle).latency.ok == 4


def test_a_cell_of_the_heat_map_is_a_window_and_a_twelfth_of_a_decade() -> None:
    figures = heatmap_figures(ten_seconds().bundle())
    assert figures.edges_seconds[:2] == (0, 0.5)  # at most 20 columns for so few answers
    expected = {
        (0, math.floor(12 * math.log10(took))): 1 for took in (10, 30, 200)
    } | {(19, 24): 1}  # fmt: skip
    assert {(column, row): count for column, row, count in figures.cells} == expected
    assert figures.title == "The slowest answer took 200 ms: intended at 0.1 s"


def test_a_freeze_draws_its_diagonal_and_is_named() -> None:
    world = World()
    for n in range(400):
        at_ms = n * 10.0
        frozen = 1_000 <= at_ms < 3_000
        world.deliver(n, at_ms=at_ms, took_ms=3_000 - at_ms + 5 if frozen else 5)
    world.crash("f", "in-transaction", kind="freeze", at_ms=1_000, healed_ms=3_000)
    figures = heatmap_figures(world.bundle())
    tops: dict[int, int] = {}
    for column, row, _ in figures.cells:
        tops[column] = max(row, tops.get(column, row))
    begin, end = (Windows.over(4, at_least=0.05, most=40).index(at) for at in (1.0, 2.99))
    falling = [tops[column] for column in range(begin, end + 1)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > falling[-1] > tops[0]
    assert figures.title.endswith("intended at 1.0 s, beside a freeze")
    assert figures.bands == ((1.0, 3.0),)


def test_a_fault_lasts_from_its_injection_to_its_last_heal_within_the_run() -> None:
    world = ten_seconds()
    world.crash("a", "commit-dropped", at_ms=1_000, healed_ms=1_500)
    world.crash("b", "", kind="db-latency", at_ms=4_000, healed_ms=60_000)
    world.crash("c", "commit-dropped", at_ms=12_000, healed_ms=13_000)  # after the last answer
    spans = fault_spans(world.faults, span_of(world))
    assert [(one.begin_seconds, one.end_seconds, one.name) for one in spans] == [
        (1.0, 1.5, "crash commit-dropped"),
        (4.0, 10.0, "db-latency"),
    ]
    assert bands(spans, span_of(world)) == ((1.0, 1.5), (4.0, 10.0))


def test_thousands_of_faults_stay_few_marks_and_few_lanes() -> None:
    world = World()
    world.deliver(1, at_ms=0)
    world.deliver(2, at_ms=99_992)
    for n in range(5_000):
        kind = f"kind-{n % (LANES_MAX + 4)}" if n < 60 else "crash"
        world.crash(f"f{n}", "", kind=kind, at_ms=n * 20.0, healed_ms=n * 20.0 + 1)
    span = span_of(world)
    found = lanes(fault_spans(world.faults, span), span)
    assert len(found) == LANES_MAX
    assert found[-1].name == f"{LANES_MAX + 5 - (LANES_MAX - 1)} other kinds"
    assert sum(lane.count for lane in found) == 5_000
    assert all(len(lane.moments) <= RESOLUTION and len(lane.bands) <= RESOLUTION for lane in found)


def test_an_hour_is_as_quick_to_draw_as_a_minute() -> None:
    world = World()
    for n in range(4_000):
        world.deliver(n, at_ms=n * 900.0, took_ms=1 + n % 1_000)
    bundle = world.bundle()
    assert len(latency_figures(bundle).windows) <= WINDOWS_MAX
    assert len(heatmap_figures(bundle).edges_seconds) <= COLUMNS_MAX + 1
    assert len(timeline_figures(bundle, check(bundle)).edges_seconds) <= 61
    assert sum(count for _, _, count in heatmap_figures(bundle).cells) == 4_000
