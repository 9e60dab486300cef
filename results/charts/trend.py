"""The trend as a picture: verdicts first, then latencies as multiples of the reference strategy's.

Above: one row for each cell, one column for each commit, the newest at the right. The sign is the
verdict (✓ ✗ ?), the colour how it stands to what was expected; red is reserved for one that
differs, so an article that is guilty as expected is blue. A frame marks a change from the commit
before. Below: p50 and p99 of each strategy divided by the reference's, scenario by scenario, commit
by commit, on a log axis with what is known of them; a bar that ends at its dot is open there.

Beside the picture lie its numbers, of all cells, as JSON. As with the other charts both files are
reproducible, and matplotlib is imported when it is needed. Limits: `COMMITS_SHOWN`, `ROWS_MAX` and
`PANELS_MAX`; what has no room is counted in the title, and cells that differ or changed go first.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from results.charts.style import (
    AMBER,
    BLUE,
    BROKEN,
    INK,
    MUTED,
    VIOLET,
    Figures,
    printable,
    put_grid,
    put_title,
)
from results.expectation import State
from results.trend import CellKey, Ratio, Trend, short
from results.verdict import Validity
from results.wording import SIGNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMAT_VERSION = 1
COMMITS_SHOWN = 30
ROWS_MAX, PANELS_MAX = 60, 4
NAME_MAX = 28
DARK = "#111111"  # not the ink, which turns light on a dark page
FILLS = {State.AS_EXPECTED: BLUE, State.DIFFERS: BROKEN, State.UNKNOWN: "#f0b440",
         State.NOT_IN_TABLE: "#b4bac2"}  # fmt: skip
INKS = {State.AS_EXPECTED: "#ffffff", State.DIFFERS: "#ffffff", State.UNKNOWN: DARK,
        State.NOT_IN_TABLE: DARK}  # fmt: skip
TICKS = [base * 10.0**power for power in range(-3, 4) for base in (1, 2, 5)]
LINES = (BLUE, AMBER, VIOLET, "#1f8a70", "#8e7cc3", MUTED)
SHARES = ("p50", "p99")
LEGEND = (
    "✓ valid · ✗ a promise was broken · ? proved nothing · framed: changed",
    "blue: as expected · red: differs · amber: unknown · grey: nobody said what to expect",
)


class Point(Struct, frozen=True, kw_only=True):
    """A cell at a commit."""

    validity: Validity
    state: State
    found: str
    changed: bool
    reference: str
    p50_ratio: Ratio | None
    p99_ratio: Ratio | None


class CellTrend(Struct, frozen=True, kw_only=True):
    """A cell, commit by commit; None where it was not run."""

    strategy: str
    scenario: str
    provider: str
    seed: int
    points: tuple[Point | None, ...]

    @property
    def panel(self) -> tuple[str, str, int]:
        """Cells of one panel can be divided by each other."""
        return self.scenario, self.provider, self.seed


class TrendNumbers(Figures, frozen=True, kw_only=True):
    """What the picture shows, and what it has no room for: trend.json."""

    format_version: int
    commits: tuple[str, ...]
    cells: tuple[CellTrend, ...]

    @property
    def size(self) -> tuple[float, float]:
        """A row for each cell, and room for the latencies if there are any."""
        return 11, 1.3 + _verdicts_inches(self.cells) + 4.2 * bool(_panels(self.cells))

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        from matplotlib.lines import Line2D  # noqa: PLC0415 - slow, see style.py

        put_title(figure, self.title)
        panels = _panels(self.cells)[:PANELS_MAX]
        heights = [_verdicts_inches(self.cells), *([2.1, 2.1] if panels else [])]
        grid = figure.add_gridspec(len(heights), max(1, len(panels)), height_ratios=heights)
        _draw_verdicts(figure.add_subplot(grid[0, :]), self.commits, _rows(self.cells))
        looks = _looks(panels)
        for down, share in enumerate(SHARES if panels else ()):
            first = None
            for across, cells in enumerate(panels):
                axes = figure.add_subplot(grid[1 + down, across], sharey=first)
                if first is None:
                    first = axes
                    axes.set_ylabel(f"latency {share}, ratio")
                _draw_ratios(axes, self.commits, cells, share, looks)
            low, high = axes.get_ylim()  # of all panels of the row
            axes.set_ylim(min(low, 0.45), max(high, 2.2))  # a hair's breadth is not to look large
            if down == 0:
                lines = [Line2D([], [], label=_label(name), **look)
                         for name, look in looks.items()]  # fmt: skip
                axes.legend(handles=lines, frameon=False, fontsize=8, handlelength=1.4,
                            loc="upper left", bbox_to_anchor=(1.0, 1.0))  # fmt: skip
        figure.supxlabel("\n".join(LEGEND), x=0.012, ha="left", fontsize=8.5, color=INK)


def trend_numbers(trend: Trend) -> TrendNumbers:
    """The newest commits, and every cell that was run at one of them."""
    commits = tuple(trend.commits[-COMMITS_SHOWN:])
    cells = dict.fromkeys(line.cell for line in trend.lines if line.commit in commits)
    drawn = tuple(
        CellTrend(
            strategy=cell[0], scenario=cell[1], provider=cell[2], seed=cell[3],
            points=tuple(_point(trend, commit, cell) for commit in commits),
        )
        for cell in cells
    )  # fmt: skip
    return TrendNumbers(
        title=_title(commits, drawn), format_version=FORMAT_VERSION, commits=commits, cells=drawn
    )


def _point(trend: Trend, commit: str, cell: CellKey) -> Point | None:
    line = trend.at(commit, cell)
    if line is None:
        return None
    return Point(
        validity=line.validity, state=line.state, found=line.found,
        changed=trend.change(line) is not None, reference=line.reference,
        p50_ratio=trend.ratio(line, 0.50), p99_ratio=trend.ratio(line, 0.99),
    )  # fmt: skip


def _verdicts_inches(cells: Sequence[CellTrend]) -> float:
    return 0.9 + 0.27 * len(_rows(cells))


def _rows(cells: Sequence[CellTrend]) -> list[CellTrend]:
    """The cells that have room, in their own order; those that differ or changed go first."""

    def urgent(cell: CellTrend) -> bool:
        return any(one is not None and (one.changed or one.state is State.DIFFERS)
                   for one in cell.points)  # fmt: skip

    picked = sorted(cells, key=lambda cell: not urgent(cell))[:ROWS_MAX]
    return [cell for cell in cells if cell in picked]


def _panels(cells: Sequence[CellTrend]) -> list[list[CellTrend]]:
    """The cells of each panel that have a ratio to show."""
    found: dict[tuple[str, str, int], list[CellTrend]] = {}
    for cell in cells:
        if any(one is not None and one.p50_ratio for one in cell.points):
            found.setdefault(cell.panel, []).append(cell)
    return list(found.values())


def _looks(panels: Sequence[list[CellTrend]]) -> dict[str, dict[str, Any]]:
    """One colour and kind of line for each strategy, the same in all panels."""
    names = dict.fromkeys(cell.strategy for cells in panels for cell in cells)
    return {
        name: {"color": LINES[number % len(LINES)],
               "linestyle": ("-", "--", ":")[number // len(LINES) % 3]}
        for number, name in enumerate(names)
    }  # fmt: skip


def _title(commits: Sequence[str], cells: Sequence[CellTrend]) -> str:
    rows, hidden = len(_rows(cells)), max(0, len(_panels(cells)) - PANELS_MAX)
    last = [cell.points[-1] for cell in cells if cell.points]
    told = [one for one in last if one is not None]
    differ = sum(one.state is State.DIFFERS for one in told)
    changed = sum(one.changed for one in told)
    newest = short(commits[-1]) if commits else "no commit"
    words = [f"{newest}: {differ or 'none'} of {len(told)} cells differ" + "s" * (differ == 1),
             f"{changed or 'none'} changed"]  # fmt: skip
    if rows < len(cells):
        words.append(f"{len(cells) - rows} cells have no room here")
    if hidden:
        words.append(f"latencies of {hidden} more are in trend.json")
    return ", ".join(words)


def _draw_verdicts(axes: "Axes", commits: Sequence[str], rows: Sequence[CellTrend]) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - slow, see style.py

    several = len({cell.seed for cell in rows}) > 1
    axes.set_xlim(0, max(len(commits), 12))
    axes.set_ylim(max(1, len(rows)), 0)
    axes.set_xticks([at + 0.5 for at in range(len(commits))],
                    [_label(short(commit)) for commit in commits], rotation=60, ha="left",
                    rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(
        [at + 0.5 for at in range(len(rows))],
        [f"{_label(cell.strategy)} × {_label(cell.scenario)} ({_label(cell.provider)}"
         f"{f', seed {cell.seed}' * several})" for cell in rows],
    )  # fmt: skip
    axes.tick_params(length=0, labelsize=8, top=True, bottom=False, labeltop=True,
                     labelbottom=False)  # fmt: skip
    for side in axes.spines.values():
        side.set_visible(False)
    for down, cell in enumerate(rows):
        for across, point in enumerate(cell.points):
            if point is None:
                continue
            axes.add_patch(
                Rectangle(
                    (across + 0.06, down + 0.08), 0.88, 0.84, facecolor=FILLS[point.state],
                    edgecolor=INK, linewidth=2.2 if point.changed else 0,
                )
            )  # fmt: skip
            axes.text(across + 0.5, down + 0.52, SIGNS[point.validity], ha="center", va="center",
                      color=INKS[point.state], fontsize=8.5, fontweight="bold")  # fmt: skip


def _draw_ratios(
    axes: "Axes", commits: Sequence[str], cells: Sequence[CellTrend], share: str,
    looks: dict[str, dict[str, Any]],
) -> None:  # fmt: skip
    from matplotlib.ticker import FixedLocator, NullLocator  # noqa: PLC0415 - slow, see style.py

    references = [one.reference for cell in cells for one in cell.points if one is not None]
    reference = references[-1]  # the newest one's; a ratio to another is another thing
    for cell in cells:
        points = [(at, _ratio(one, share)) for at, one in enumerate(cell.points)
                  if one is not None and one.reference == reference]  # fmt: skip
        known = [(at, ratio) for at, ratio in points if ratio is not None]
        if not known:
            continue
        down = [ratio.value - (ratio.low or ratio.value) for _, ratio in known]
        up = [(ratio.high or ratio.value) - ratio.value for _, ratio in known]
        axes.errorbar(
            [at for at, _ in known], [ratio.value for _, ratio in known], yerr=[down, up],
            marker="o", markersize=3, linewidth=1.4, elinewidth=0.8, **looks[cell.strategy],
        )  # fmt: skip
    axes.axhline(1, color=MUTED, linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    put_grid(axes)
    axes.set_xlim(-0.5, max(len(commits), 6) - 0.5)
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    seed = cells[0].seed
    with_seed = f", seed {seed}" * (seed != 1)
    below = f"÷ {_label(reference)} ({_label(cells[0].provider)}{with_seed})"
    axes.set_title(f"{_label(cells[0].scenario)}\n{below}", loc="left", fontsize=8.5, color=INK)


def _label(name: str) -> str:
    """What is drawn of a name; a very long one would leave no room for anything else."""
    return printable(name if len(name) <= NAME_MAX else f"{name[: NAME_MAX - 1]}…")


def _ratio(point: Any, share: str) -> Ratio | None:
    found: Ratio | None = getattr(point, f"{share}_ratio")
    return found
