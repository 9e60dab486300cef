"""Every target of a benchmark in one picture: where the measured ratio lies beside its bound.

One row a target: the median of the rounds as a dot, a line from the smallest to the largest round,
on one logarithmic axis on which 1 is the bound itself. To the right is better, whatever the bound
was (a `≤` is turned round), so what lies left of the line missed. The figures stand in words.
"""

from typing import TYPE_CHECKING

from msgspec import Struct

from results.benchmark import BenchmarkReport, Reached, figure, reached
from results.charts.style import AMBER, BLUE, MUTED, Figures, printable, put_grid, put_title, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES, ROW_INCHES = 10, 0.36
LEAST = 1e-3  # what a measured zero is drawn as


class TargetRow(Struct, frozen=True, kw_only=True):
    """One target: how many times better than its bound, and the same as words."""

    name: str
    median: float
    low: float
    high: float
    words: str


class BenchmarkFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn."""

    rows: tuple[TargetRow, ...]

    @property
    def size(self) -> tuple[float, float]:
        """In inches."""
        return WIDTH_INCHES, 1.4 + ROW_INCHES * max(3, len(self.rows))

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        axes = figure.subplots()
        if not self.rows:
            say(axes, "nothing was measured")
            return
        axes.axvline(1, color=MUTED, linewidth=1.2)
        for at, row in enumerate(self.rows):
            colour = BLUE if row.median >= 1 else AMBER
            axes.plot([row.low, row.high], [at, at], color=colour, linewidth=2.2)
            axes.plot([row.median], [at], "o", color=colour, markersize=6)
            axes.annotate(
                row.words, (1.02, at), xycoords=("axes fraction", "data"), va="center", fontsize=8
            )
        axes.set_xscale("log")
        axes.set_yticks(range(len(self.rows)), [printable(row.name) for row in self.rows])
        axes.set_ylim(len(self.rows) - 0.5, -0.5)
        low = min(0.5, *(row.low for row in self.rows)) / 1.2
        high = max(2, *(row.high for row in self.rows)) * 1.2
        axes.set_xlim(low, high)
        ticks = [tick for tick in (0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 100) if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g} ×" for tick in ticks])
        axes.set_xticks([], [], minor=True)
        axes.tick_params(axis="y", length=0, labelsize=8)
        put_grid(axes, "x")
        axes.set_xlabel("times as good as its bound; line: smallest to largest round")


def benchmark_figures(report: BenchmarkReport) -> BenchmarkFigures:
    """The rows of all parts, in their order."""
    found = [(part.part, one) for part in report.parts for one in reached(part)]
    met = sum(one.met for _, one in found)
    return BenchmarkFigures(
        title=f"{met} of {len(found)} targets met, by the median of {report.rounds} rounds",
        rows=tuple(_row(part, one) for part, one in found),
    )


def _row(part: str, one: Reached) -> TargetRow:
    target = one.target
    ends = [_times(one, value) for value in (one.low, one.high)]
    return TargetRow(
        name=f"{part}: {target.what}",
        median=_times(one, one.median),
        low=min(ends),
        high=max(ends),
        words=f"{figure(one.median)}  ({target.bound})",
    )


def _times(one: Reached, value: float) -> float:
    if one.target.at_least is not None:
        return max(LEAST, value / one.target.at_least)
    return (one.target.at_most or LEAST) / max(LEAST, value)
