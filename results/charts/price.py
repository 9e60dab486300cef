"""What each strategy costs, beside whether it kept its promises: one chart of a matrix.

Two panels, one row for each strategy: the p99 of acknowledged deliveries, and acknowledged
deliveries per second, each as a multiple of the best strategy *of the same scenario, provider and
seed*, the only ones that met the same traffic and faults. A small dot is one such cell, the large
one the median of them, red if the strategy broke a promise in any cell. Milliseconds are not
compared from one scenario to another, and nothing here can be compared with another machine.

A cell that proved nothing has no price. A strategy that is alone in its scenario has none to be
compared with, so its ratio there says nothing and is left out. Limits: the arrival rate is given,
so deliveries per second differ only where a strategy could not keep up, and cells that ran side by
side shared the machine.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

from results.charts.style import (
    BLUE,
    BROKEN,
    MUTED,
    Figures,
    log_axis,
    printable,
    put_grid,
    put_title,
    say,
)
from results.verdict import Validity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, ROW_INCHES = 10, 0.34


class PricedCell(Struct, frozen=True, kw_only=True):
    """What one run of a matrix measured; None where it measured nothing."""

    strategy: str
    scenario: str
    provider: str
    seed: int
    validity: Validity
    p99_ms: float | None
    ok_per_second: float | None


class Ratio(Struct, frozen=True, kw_only=True):
    """One cell beside the best one of its scenario, provider and seed."""

    scenario: str
    provider: str
    seed: int
    p99_ms: float
    p99_ratio: float
    ok_per_second: float
    ok_per_second_ratio: float


class Price(Struct, frozen=True, kw_only=True):
    """One strategy; the ratios are medians over its cells, None without any."""

    strategy: str
    broken: bool
    p99_ratio: float | None
    ok_per_second_ratio: float | None
    cells: tuple[Ratio, ...]


class PriceFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn."""

    prices: tuple[Price, ...]

    @property
    def size(self) -> tuple[float, float]:
        """In inches."""
        return WIDTH_INCHES, 1.5 + ROW_INCHES * max(3, len(self.prices))

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        left, right = figure.subplots(1, 2, sharey=True)
        if all(price.p99_ratio is None for price in self.prices):
            for axes in (left, right):
                say(axes, "nothing to compare")
            return
        _draw_panel(left, self.prices, "p99_ratio")
        _draw_panel(right, self.prices, "ok_per_second_ratio")
        left.set_title("p99 of acknowledged deliveries, × the best", loc="left", fontsize=9.5)
        right.set_title("acknowledged deliveries per second, × the best", loc="left", fontsize=9.5)
        names = [printable(price.strategy) for price in self.prices]
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.5, -0.5)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0, labelleft=False)
        figure.supxlabel("dot: one scenario, provider and seed    disc: the median    "
                         "✗ broke a promise", x=0.012, ha="left", fontsize=8.5)  # fmt: skip


def price_figures(strategies: Sequence[str], cells: Iterable[PricedCell]) -> PriceFigures:
    """Compare each cell with the others of its scenario, provider and seed."""
    groups: dict[tuple[str, str, int], list[PricedCell]] = defaultdict(list)
    broken = set()
    for cell in cells:
        if cell.validity is Validity.INVALID:
            broken.add(cell.strategy)
        if cell.validity is not Validity.UNKNOWN and cell.p99_ms and cell.ok_per_second:
            groups[cell.scenario, cell.provider, cell.seed].append(cell)
    ratios: dict[str, list[Ratio]] = defaultdict(list)
    for own in groups.values():
        if len(own) > 1:
            for strategy, ratio in _ratios(own):
                ratios[strategy].append(ratio)
    prices = tuple(_price(name, name in broken, ratios[name]) for name in strategies)
    return PriceFigures(title=_title(prices), prices=prices)


def _ratios(own: Sequence[PricedCell]) -> Iterable[tuple[str, Ratio]]:
    fastest_ms = min(cell.p99_ms or 0 for cell in own)
    most = max(cell.ok_per_second or 0 for cell in own)
    for cell in own:
        p99_ms, ok_per_second = cell.p99_ms or 0, cell.ok_per_second or 0
        yield (
            cell.strategy,
            Ratio(
                scenario=cell.scenario,
                provider=cell.provider,
                seed=cell.seed,
                p99_ms=p99_ms,
                p99_ratio=p99_ms / fastest_ms,
                ok_per_second=ok_per_second,
                ok_per_second_ratio=ok_per_second / most,
            ),
        )


def _price(strategy: str, broken: bool, cells: Sequence[Ratio]) -> Price:
    return Price(
        strategy=strategy,
        broken=broken,
        p99_ratio=median(cell.p99_ratio for cell in cells) if cells else None,
        ok_per_second_ratio=median(cell.ok_per_second_ratio for cell in cells) if cells else None,
        cells=tuple(cells),
    )


def _title(prices: Sequence[Price]) -> str:
    priced = [price for price in prices if price.p99_ratio is not None]
    if not priced:
        return "Nothing to compare: no two strategies were proved or found guilty side by side"
    kept = [price for price in priced if not price.broken]
    if not kept:
        return "No strategy kept every promise, whatever it cost"
    best = min(kept, key=lambda price: price.p99_ratio or 0)
    times = f"{best.p99_ratio:.2f}"
    if times == "1.00":
        return f"{best.strategy} kept every promise and was the fastest"
    return f"The fastest that kept every promise: {best.strategy}, p99 {times} × the best"


def _draw_panel(axes: "Axes", prices: Sequence[Price], name: str) -> None:
    known = [getattr(cell, name) for price in prices for cell in price.cells]
    for row, price in enumerate(prices):
        colour = BROKEN if price.broken else BLUE
        axes.plot([getattr(cell, name) for cell in price.cells], [row] * len(price.cells), ".",
                  color=colour, alpha=0.45, markersize=6.5, markeredgewidth=0)  # fmt: skip
        middle = getattr(price, name)
        if middle is None:
            axes.text(0.5, row, "no price", color=MUTED, fontsize=8.5, va="center", ha="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
            continue
        axes.plot(middle, row, "X" if price.broken else "o", color=colour, markersize=9,
                  markeredgewidth=0)  # fmt: skip
        axes.annotate(f"{middle:.2f}", (middle, row), xytext=(0, 6), textcoords="offset points",
                      color=colour, fontsize=7.5, fontweight="bold", ha="center")  # fmt: skip
    log_axis(axes.xaxis, min(known), max(known), lambda ratio: f"{ratio:g}", room=8, pad=1.1)
    axes.axvline(1, color=MUTED, linewidth=1, zorder=0)
    axes.spines["left"].set_visible(False)
    put_grid(axes, "both")
