"""The matrix as a picture: strategies down, scenarios across, one panel for each provider.

Red is reserved for a broken promise and has the codes in it; amber is a run that proved nothing,
with the cause; blue is valid, with the 95 % bound that its exposures allow. The three colours are
told apart by people who see no red or no green, and each state has its sign as well, so that a
print in grey still tells everything. A frame marks a cell that is not as expected.

As with the other charts both files are reproducible, and matplotlib is imported when it is needed.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from results.charts.style import BROKEN, INK, MUTED, Figures, paint, printable, put_title
from results.verdict import Validity
from results.wording import SIGNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILLS = {Validity.VALID: "#3b78c4", Validity.INVALID: BROKEN, Validity.UNKNOWN: "#f0b440"}
INKS = {Validity.VALID: "#ffffff", Validity.INVALID: "#ffffff", Validity.UNKNOWN: INK}
LEGEND = (
    "✗ a promise was broken: codes    ✓ valid: 95 % bound on the rate of anomalies",
    "? proved nothing: cause    framed, ≠: not as expected",
)
CELL_INCHES = (1.55, 0.58)
WIDTH_MIN_INCHES, LEGEND_INCHES = 7.0, 9.5  # a narrower figure has the legend in two lines
LINE_CHARACTERS = 17


class Tile(Struct, frozen=True, kw_only=True):
    """One cell: its state, what stands in it, and whether it is not as expected."""

    validity: Validity
    words: str
    differs: bool = False

    @property
    def text(self) -> str:
        """The sign, then the words; a tile that is not as expected has that sign as well."""
        return f"{SIGNS[self.validity]} {self.words}{' ≠' if self.differs else ''}"


Tiles = Mapping[tuple[str, str], Tile]  # by row and column


class MatrixFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn; matrix.json has it, and more."""

    rows: Sequence[str]
    columns: Sequence[str]
    panels: Mapping[str, Tiles]  # by title

    @property
    def size(self) -> tuple[float, float]:
        """In inches."""
        return (
            max(WIDTH_MIN_INCHES, 2.2 + CELL_INCHES[0] * len(self.columns)),
            1.1 + (0.75 + CELL_INCHES[1] * len(self.rows)) * len(self.panels),
        )

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        legend = ("\n" if self.size[0] < LEGEND_INCHES else "    ").join(LEGEND)
        axes = figure.subplots(len(self.panels), 1, squeeze=False)
        for panel, (name, tiles) in zip(axes[:, 0], self.panels.items(), strict=True):
            _draw_panel(panel, name, self.rows, self.columns, tiles)
        figure.supxlabel(legend, x=0.012, ha="left", fontsize=8.5, color=INK)


def draw_heat_map(
    folder: Path, title: str, rows: Sequence[str], columns: Sequence[str],
    panels: Mapping[str, Tiles],
) -> tuple[Path, Path]:  # fmt: skip
    """Write `matrix.png` and `matrix.svg` into `folder`; a panel is known by its title."""
    figures = MatrixFigures(title=title, rows=rows, columns=columns, panels=panels)
    return paint(folder, "matrix", figures, salt="matrix")


def _draw_panel(
    axes: "Axes", name: str, rows: Sequence[str], columns: Sequence[str], tiles: Tiles
) -> None:
    axes.set_title(printable(name), loc="left", fontsize=10, color=INK, pad=20)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([at + 0.5 for at in range(len(columns))], list(map(printable, columns)))
    axes.set_yticks([at + 0.5 for at in range(len(rows))], list(map(printable, rows)))
    axes.tick_params(length=0, labelsize=9, top=True, bottom=False, labeltop=True,
                     labelbottom=False)  # fmt: skip
    for side in axes.spines.values():
        side.set_visible(False)
    for down, row in enumerate(rows):
        for across, column in enumerate(columns):
            tile = tiles.get((row, column))
            if tile is not None:
                _draw_tile(axes, across, down, tile)


def _draw_tile(axes: "Axes", across: int, down: int, tile: Tile) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - slow, see the module

    gap = 0.03
    axes.add_patch(
        Rectangle(
            (across + gap, down + gap), 1 - 2 * gap, 1 - 2 * gap,
            facecolor=FILLS[tile.validity],
            edgecolor=INK if tile.differs else MUTED,
            linewidth=3 if tile.differs else 0,
        )
    )  # fmt: skip
    axes.text(
        across + 0.5, down + 0.5, _wrapped(printable(tile.text)), ha="center", va="center",
        color=INKS[tile.validity], fontsize=8.5, fontweight="bold", linespacing=1.15,
    )  # fmt: skip


def _wrapped(text: str) -> str:
    """At most three lines that fit into a cell; what is left out is shown as left out."""
    return textwrap.fill(text, LINE_CHARACTERS, max_lines=3, placeholder=" …")
