"""The smallest history that shows a broken promise, as a picture to put into an issue or a chat.

The same lanes, steps and numbers as on the card of the report (`results/card.py` lays both out),
where a reader can also see each statement's SQL. One row is one step: time runs downwards, in
steps and not to scale; the milliseconds stand on the left.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from results.card import GUTTER, ROW, TOP, Drawing, clip, draw
from results.charts.style import (
    AMBER,
    AMBER_INK,
    BLUE,
    INK,
    MUTED,
    PAPER,
    VIOLET,
    Figures,
    printable,
    put_title,
)
from results.steps import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS_AN_INCH = 100
WIDTH_MAX_INCHES = 24  # with very many lanes everything is drawn smaller
TITLE_INCHES = 0.75
FILLS = {
    "send": "#e8f0fb", "reply": "#e8f0fb", "statement": "#eef1f5", "wait": "#fbe7bd",
    "hold": "#ddd6f0", "call": "#eef1f5", "effect": "#ffffff", "crash": "#3a3f46",
}  # fmt: skip
EDGES = {"effect": INK, "crash": INK, "wait": AMBER, "hold": VIOLET, "send": BLUE, "reply": BLUE}


class CounterexampleFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn: the card's layout, in pixels, under its title and its last sentence."""

    conclusion: str
    drawing: Drawing

    @property
    def scale(self) -> float:
        """Inches to a pixel of the layout."""
        return min(1 / PIXELS_AN_INCH, WIDTH_MAX_INCHES / self.drawing.width)

    @property
    def size(self) -> tuple[float, float]:
        """In inches."""
        drawing = self.drawing
        return drawing.width * self.scale, drawing.height * self.scale + TITLE_INCHES

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title, broken=True)
        axes = figure.subplots()
        drawing, points = self.drawing, 72 * self.scale
        axes.set_title(printable(clip(self.conclusion, drawing.width // 8)), loc="left", x=0.006,
                       fontsize=9.5 * points / 0.72)  # fmt: skip
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(drawing.height, 0)
        axes.axis("off")
        _draw_lanes(axes, drawing, points)
        for shade in drawing.shades:
            colour = FILLS["hold" if shade.kind == "held" else "wait"]
            _box(axes, shade.x, shade.y, drawing.lane_width - 8, shade.height, colour, "none")
        for mark in drawing.marks:
            y = mark.y
            if mark.arrow_to:
                axes.plot([mark.arrow_from, mark.arrow_to], [y, y], linestyle=(0, (3, 2)),
                          color=EDGES.get(mark.kind, MUTED), linewidth=0.8)  # fmt: skip
            _words(axes, 24, y, str(mark.number), points, weight="bold", side="right")
            _words(axes, GUTTER - 6, y, mark.offset_ms, points, colour=MUTED, side="right")
            width = drawing.lane_width - 10
            _box(axes, mark.x - width / 2, y - 11, width, 22, FILLS[mark.kind],
                 EDGES.get(mark.kind, MUTED))  # fmt: skip
            strong = "bold" if mark.kind in ("effect", "crash") else "normal"
            ink = PAPER if mark.kind == "crash" else INK
            _words(axes, mark.x, y, mark.label, points, colour=ink, weight=strong)
            if mark.answer:
                _words(axes, drawing.postgres_x, y, mark.answer, points,
                       colour=AMBER_INK if mark.bad else INK,
                       weight="bold" if mark.bad else "normal")  # fmt: skip


def counterexample_figures(timeline: Timeline) -> CounterexampleFigures:
    """Lay the story of one order out, without the SQL, which is not drawn."""
    drawing = draw(timeline)
    marks = tuple(replace(mark, full="") for mark in drawing.marks)
    return CounterexampleFigures(
        title=f"{timeline.code}: order {timeline.order_id}",
        conclusion=timeline.prose[-1] if timeline.prose else "",
        drawing=replace(drawing, marks=marks),
    )


def _draw_lanes(axes: "Axes", drawing: Drawing, points: float) -> None:
    for number, (name, x) in enumerate(drawing.lanes):
        if number % 2 == 0:
            left = x - drawing.lane_width / 2
            axes.axvspan(left, left + drawing.lane_width, color=MUTED, alpha=0.07, linewidth=0)
        _words(axes, x, TOP - ROW, name, points * 1.15, weight="bold")
        if x == drawing.postgres_x:
            continue  # its answers stand there, without boxes
        axes.plot([x, x], [TOP - 8, drawing.height], color=MUTED, alpha=0.5, linewidth=0.7,
                  linestyle=(0, (2, 4)), zorder=0.5)  # fmt: skip
    _words(axes, 24, TOP - ROW, "step", points, colour=MUTED, side="right")
    _words(axes, GUTTER - 6, TOP - ROW, "ms", points, colour=MUTED, side="right")


def _box(
    axes: "Axes", x: float, y: float, width: float, height: float, fill: str, edge: str
) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - slow, see style.py

    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=4",
                       facecolor=fill, edgecolor=edge, linewidth=0.8, mutation_aspect=1)
    )  # fmt: skip


def _words(
    axes: "Axes", x: float, y: float, text: str, points: float, *, colour: str = INK,
    weight: str = "normal", side: str = "center",
) -> None:  # fmt: skip
    axes.text(x, y, printable(text), fontsize=10.2 * points, color=colour, fontweight=weight,
              ha=side, va="center_baseline")  # fmt: skip
