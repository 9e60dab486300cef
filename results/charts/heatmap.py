"""Every acknowledged delivery on one picture: when it was intended, and how long it took.

A cell is a window of time and a twelfth of a decade of latency; its colour is the number of
deliveries in it, on a logarithmic scale, so that a single slow one is seen beside thousands of
fast ones. Percentiles hide shapes that show here: a freeze is a diagonal that falls to the moment
of its end, for whoever came later waited less; a retry is a level of its own. Two ways to answer
are two bands.

The cells of the SVG are one embedded picture, whatever their number.
"""

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from results.bundle import Bundle
from results.charts.faults import FaultSpan, bands, fault_spans, shade
from results.charts.style import (
    BLUE,
    MARGIN_AT,
    MUTED,
    Figures,
    leave_margin,
    log_axis,
    log_ticks,
    ms_words,
    put_grid,
    put_title,
    say,
)
from results.charts.windows import Answer, Span, Windows, answers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS_MIN, COLUMNS_MAX = 20, 200
ANSWERS_A_COLUMN = 10  # fewer would be dots instead of a shape
ROWS_A_DECADE = 12
LEAST_MS = 0.001
COLOURS = ("#44307d", BLUE, "#8fabc6", "#f7d25f")  # few to many; darker to lighter


class HeatmapFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn. A cell is (column, row, deliveries); row n is 10^(n/12) ms and up."""

    seconds: float
    bands: tuple[tuple[float, float], ...]
    edges_seconds: tuple[float, ...]
    rows_a_decade: int
    cells: tuple[tuple[int, int, int], ...]

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        leave_margin(figure)
        axes = figure.subplots()
        if not self.cells:
            say(axes, "no delivery was acknowledged")
            return
        rows = [row for _, row, _ in self.cells]
        lowest, highest = min(rows), max(rows)
        mesh = [[math.nan] * (len(self.edges_seconds) - 1) for _ in range(highest - lowest + 1)]
        for column, row, count in self.cells:
            mesh[row - lowest][column] = count
        edges_ms = [10 ** (row / self.rows_a_decade) for row in range(lowest, highest + 2)]
        shade(axes, self.bands, self.seconds)
        most = max(10, *(count for _, _, count in self.cells))
        drawn = axes.pcolormesh(
            list(self.edges_seconds), edges_ms, mesh, rasterized=True, linewidth=0, **_look(most)
        )
        log_axis(axes.yaxis, edges_ms[0], edges_ms[-1], ms_words)
        axes.set_xlim(0, self.seconds)
        put_grid(axes)
        axes.set_title(
            "latency of acknowledged deliveries from the intended send", loc="left", fontsize=9
        )
        axes.set_xlabel("seconds since the first delivery")
        _draw_scale(figure, drawn, most)


def heatmap_figures(bundle: Bundle) -> HeatmapFigures:
    """Count the acknowledged deliveries of each cell, from the intended send."""
    span = Span.of(bundle.history.deliveries)
    found = answers(bundle.history.deliveries, span)
    columns = max(COLUMNS_MIN, min(COLUMNS_MAX, len(found) // ANSWERS_A_COLUMN))
    windows = Windows.over(span.seconds, at_least=0.05, most=columns)
    cells = Counter((windows.index(one.at_seconds), _row(one.intended_ms)) for one in found)
    faults = fault_spans(bundle.faults, span)
    return HeatmapFigures(
        title=_title(found, faults),
        seconds=windows.edges[-1],
        bands=bands(faults, span),
        edges_seconds=windows.edges,
        rows_a_decade=ROWS_A_DECADE,
        cells=tuple((column, row, count) for (column, row), count in sorted(cells.items())),
    )


def _row(ms: float) -> int:
    return math.floor(math.log10(max(LEAST_MS, ms)) * ROWS_A_DECADE)


def _title(found: list[Answer], faults: list[FaultSpan]) -> str:
    if not found:
        return "No delivery was acknowledged"
    slowest = max(found, key=lambda one: one.intended_ms)
    end = slowest.at_seconds + slowest.intended_ms / 1e3
    during = Counter(
        fault.name.split()[0]
        for fault in faults
        if fault.begin_seconds <= end and fault.end_seconds >= slowest.at_seconds
    )
    beside = f", beside a {during.most_common(1)[0][0]}" if during else ""
    return (
        f"The slowest answer took {ms_words(slowest.intended_ms)}: intended at "
        f"{slowest.at_seconds:.1f} s{beside}"
    )


def _look(most: int) -> dict[str, Any]:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm  # noqa: PLC0415 - slow

    shades = LinearSegmentedColormap.from_list("few to many", COLOURS)
    return {"cmap": shades, "norm": LogNorm(1, most)}


def _draw_scale(figure: "Figure", drawn: Any, most: int) -> None:
    place = figure.add_axes((MARGIN_AT + 0.015, 0.22, 0.012, 0.5))
    place.set_in_layout(False)
    bar: Any = figure.colorbar(drawn, cax=place)
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    ticks = log_ticks(1, most, room=8)
    bar.set_ticks(ticks, labels=[f"{tick:,.3g}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(color=MUTED)
    bar.ax.set_title("deliveries\nin a cell", loc="left", fontsize=9)
