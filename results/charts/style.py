"""How every chart looks and how it is written: three files, one set of figures, no surprises.

A chart is a frozen struct of figures, computed by a pure function from the records of a run, that
can draw itself from nothing else. `write` saves both sides of it: NAME.png and NAME.svg for people,
NAME.json with exactly the numbers drawn. The same input gives the same bytes: no date, no version,
a fixed hash salt. Titles stand on the left and state the finding; lines are named where they end;
red is reserved for a broken promise. No two colours of one chart are alike to people who see no
red, no green or no blue (a test simulates them).

matplotlib is imported when something is drawn (0.4 s): every command would pay for it otherwise.
No pyplot: a figure of its own needs no window system and leaves no state behind. The report puts
its own variables in the place of the colours of an SVG (`ON_A_PAGE`), so that one drawing serves
light and dark pages.
"""

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER = "#1a1c1f", "#fefefe"
MUTED = "#80868f"
BAND = "#9aa0a8"  # the time of a fault
BROKEN = "#c62828"  # a broken promise, and nothing else
BLUE, SKY, VIOLET, AMBER = "#3579cf", "#a0c8f4", "#4f2f80", "#e69f00"
AMBER_INK = "#8f6200"  # amber that can be read as words
ON_A_PAGE = {
    INK: "currentColor", PAPER: "none", BROKEN: "var(--bad)", AMBER_INK: "var(--open)",
    BLUE: "var(--chart-blue)", SKY: "var(--chart-sky)", VIOLET: "var(--chart-violet)",
    AMBER: "var(--chart-amber)",
}  # fmt: skip

GLYPHS = (
    (" ", "\u02df"), ("\u0391", "\u047f"), ("\u2010", "\u2027"), ("\u2030", "\u205e"),
    ("\u2190", "\u22ff"), ("\u2500", "\u25ff"), ("✓", "✓"), ("✗", "✗"), ("\ufffd", "\ufffd"),
)  # fmt: skip
WIDTH_INCHES, HEIGHT_INCHES = 10.0, 3.5
MARGIN_AT = 0.79  # of the width: words stand to the right of it
TITLE_CHARACTERS_AN_INCH = 9.4  # of the bold title
LABEL_GAP = 0.075  # of the axes' height, between two labels at line ends
DPI = 150


def chart_style(salt: str) -> dict[Any, Any]:
    """What all drawings share; the salt makes the ids inside an SVG the same each time."""
    return {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.parse_math": False,  # a `$` in a name is a dollar
    }


class Figures(Struct, frozen=True, kw_only=True):
    """The base of all charts: what stands above it, how large it is, and how it is drawn."""

    title: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return WIDTH_INCHES, HEIGHT_INCHES

    def draw(self, figure: "Figure") -> None:
        """Draw all of it into an empty figure."""
        raise NotImplementedError


def write(folder: Path, name: str, figures: Figures, *, salt: str) -> tuple[Path, Path, Path]:
    """Write NAME.png, NAME.svg and NAME.json into the folder, which is made when missing."""
    png, svg = paint(folder, name, figures, salt=salt)
    json = folder / f"{name}.json"
    json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return png, svg, json


def paint(folder: Path, name: str, figures: Figures, *, salt: str) -> tuple[Path, Path]:
    """The two pictures alone, of figures that are written elsewhere."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, see the module
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with mpl.rc_context(chart_style(f"{salt} {name}")):
        figure = Figure(figsize=figures.size, dpi=DPI, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        figures.draw(figure)
        # Not `savefig`, which draws everything twice: once to lay it out.
        canvas.print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")  # it stays as laid out: doing it again takes as long
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def put_title(figure: "Figure", text: str, *, broken: bool = False) -> None:
    """The finding, bold, on the left; red if it is a broken promise."""
    width = int(figure.get_figwidth() * TITLE_CHARACTERS_AN_INCH)
    figure.suptitle(
        textwrap.fill(printable(text), width, max_lines=3, placeholder=" …"),
        x=0.12 / figure.get_figwidth(),
        ha="left",
        fontweight="bold",
        fontsize=12,
        color=BROKEN if broken else INK,
    )


def put_grid(axes: "Axes", axis: Literal["x", "y", "both"] = "y") -> None:
    """Light lines under the data."""
    axes.grid(axis=axis, color=MUTED, alpha=0.22, linewidth=0.6)


def leave_margin(figure: "Figure") -> None:
    """Keep the right edge free for words; charts over time have the same edge, and so align."""
    figure.set_layout_engine("constrained", rect=(0, 0, MARGIN_AT, 1))


def beside(axes: "Axes", y: float, text: str, transform: Any, **look: Any) -> None:
    """Words to the right of the axes, which take no room from them."""
    axes.text(1.012, y, printable(text), transform=transform, va="center", **look).set_in_layout(
        False
    )


def say(axes: "Axes", text: str) -> None:
    """In the middle of axes that have nothing else to show."""
    axes.text(0.5, 0.5, printable(text), transform=axes.transAxes, ha="center", va="center")
    axes.set_xticks([])
    axes.set_yticks([])


def label_ends(axes: "Axes", labels: Sequence[tuple[float, str, str]]) -> None:
    """Name lines at their right ends: where on the y axis, words, colour. None hides another.

    The y axis must have its final limits.
    """
    low, high = (axes.transData.transform((1, end))[1] for end in axes.get_ylim())
    ordered = sorted(labels, key=lambda label: label[0])
    places = spread(
        [(axes.transData.transform((1, value))[1] - low) / (high - low) for value, _, _ in ordered]
    )
    for place, (_, text, colour) in zip(places, ordered, strict=True):
        ink = AMBER_INK if colour == AMBER else colour
        beside(axes, place, text, axes.transAxes, color=ink, fontsize=9, fontweight="bold")


def spread(places: Sequence[float], gap: float = LABEL_GAP) -> list[float]:
    """Move ascending places apart, upwards; those that leave the axes at the top, down again."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    above = max([1.0, *places])
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], above)
        above = moved[index] - gap
    return moved


def log_axis(
    axis: Any, low: float, high: float, words: Callable[[float], str], *, room: int = 10,
    pad: float = 1.25,
) -> None:  # fmt: skip
    """A logarithmic axis around positive values, with at most `room` ticks that a person chose."""
    lower, upper = low / pad, high * pad
    shown = log_ticks(lower, upper, room)
    if axis.axis_name == "x":
        axis.axes.set_xscale("log")
        axis.axes.set_xlim(lower, upper)
    else:
        axis.axes.set_yscale("log")
        axis.axes.set_ylim(lower, upper)
    axis.set_ticks(shown, [words(tick) for tick in shown])
    fine = _ticks(lower, upper, range(2, 10)) if all(map(_is_decade, shown)) else []
    axis.set_ticks(fine if len(fine) < 40 else [], [], minor=True)


def log_ticks(lower: float, upper: float, room: int) -> list[float]:
    """1, 2, 5, 10, … or finer or coarser ones, so that there are some and not too many."""
    ticks = _ticks(lower, upper, (1, 2, 5))
    if len(ticks) < 3:
        return _ticks(lower, upper, (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9))
    for coarser in ((1, 3), (1,)):
        if len(ticks) > room:
            ticks = _ticks(lower, upper, coarser)
    return ticks[:: max(1, math.ceil(len(ticks) / room))]


def _is_decade(tick: float) -> bool:
    return math.log10(tick) == round(math.log10(tick))


def _ticks(lower: float, upper: float, steps: Sequence[float]) -> list[float]:
    decades = range(math.floor(math.log10(lower)), math.ceil(math.log10(upper)) + 1)
    marks = (step * 10.0**decade for decade in decades for step in steps)
    return [mark for mark in marks if lower <= mark <= upper]


def ms_words(ms: float) -> str:
    """`50 µs`, `0.5 ms`, `250 ms`, `4.2 s`: three digits at most."""
    if ms < 0.1:
        return f"{ms * 1000:.3g} µs"
    if ms < 999.5:
        return f"{ms:.3g} ms"
    return f"{ms / 1000:,.3g} s" if ms < 999_500 else f"{ms / 1000:,.0f} s"


def printable(text: str) -> str:
    """Replace what the font has no glyph for: a hostile name must not break a drawing or its XML.

    Left are Latin, Greek and Cyrillic letters, punctuation, arrows, signs and the two marks.
    """
    return "".join(char if _has_glyph(char) else "\ufffd" for char in text)


def _has_glyph(char: str) -> bool:
    return char.isprintable() and any(low <= char <= high for low, high in GLYPHS)
