"""What the run used of its machine: memory, open files, connections and disk over its time.

A leak is a line that does not become flat; the title says whether one did not (`results.growth`).
Drawn for runs that are long enough for a leak to show. Disk grows with the traffic by design: what
a run writes is kept, so there the rate is what must not grow.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from results.charts.style import (
    AMBER,
    BLUE,
    INK,
    MUTED,
    SKY,
    VIOLET,
    WIDTH_INCHES,
    Figures,
    label_ends,
    leave_margin,
    put_grid,
    put_title,
)
from results.growth import FLAT, LOOKS_MIN, Growth, growth, not_flat
from results.records import Resources

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = tuple((colour, dash) for dash in ("-", "--") for colour in (
    BLUE, AMBER, VIOLET, INK, SKY, MUTED))  # fmt: skip
HEIGHT_INCHES = 8.0
POINTS_MAX = 1_000  # of one line


class Panel(Struct, frozen=True, kw_only=True):
    """One quantity: its lines by name, each with a value for every second of the chart."""

    name: str
    lines: tuple[tuple[str, tuple[float, ...]], ...]


class ResourceFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn; MB are 10^6 bytes."""

    seconds: tuple[float, ...]
    panels: tuple[Panel, ...]
    growth: tuple[Growth, ...]

    @property
    def size(self) -> tuple[float, float]:
        """Taller than the others: four panels."""
        return WIDTH_INCHES, HEIGHT_INCHES

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        leave_margin(figure)
        rows = figure.subplots(len(self.panels), 1, sharex=True)
        minutes = [second / 60 for second in self.seconds]
        for axes, panel in zip(rows, self.panels, strict=True):
            _draw(axes, panel, minutes)
        rows[-1].set_xlabel("minutes")


def resource_figures(looks: Sequence[Resources]) -> ResourceFigures | None:
    """The figures of a run's looks; None if there are too few to say anything."""
    if len(looks) < LOOKS_MIN:
        return None
    found = growth(looks)
    shown = looks[:: 1 + len(looks) // POINTS_MAX]
    roles = sorted({role for look in looks for role in look.memory_bytes})
    places = sorted({place for look in looks for place in look.disk_bytes})

    def panel(name: str, lines: Sequence[tuple[str, Sequence[float]]]) -> Panel:
        return Panel(name=name, lines=tuple((label, tuple(values)) for label, values in lines))

    return ResourceFigures(
        title=title(found),
        seconds=tuple((look.at_ns - looks[0].at_ns) / 1e9 for look in shown),
        panels=(
            panel("memory, MB", [
                (role, [look.memory_bytes.get(role, 0) / 1e6 for look in shown]) for role in roles
            ]),
            panel("open files", [
                (role, [float(look.open_files.get(role, 0)) for look in shown]) for role in roles
            ]),
            panel("connections to the database", [
                ("clients", [float(look.connections) for look in shown])
            ]),
            panel("disk, MB", [
                (place, [look.disk_bytes.get(place, 0) / 1e6 for look in shown])
                for place in places
            ]),
        ),
        growth=found,
    )  # fmt: skip


def title(found: Sequence[Growth]) -> str:
    """The finding in a sentence."""
    grown = not_flat(found)
    if not grown:
        return f"Flat: nothing grew by more than {FLAT:.0%} from the second quarter to the last"
    worst = ", ".join(
        f"{one.what} " + ("appeared" if one.share is None else f"+{one.share:.0%}")
        for one in grown[:3]
    )
    return f"Not flat: {worst} from the second quarter to the last"


def _draw(axes: "Axes", panel: Panel, minutes: Sequence[float]) -> None:
    axes.set_title(panel.name, loc="left", fontsize=9)
    put_grid(axes)
    axes.set_xlim(0, minutes[-1])
    axes.set_ylim(0, 1.08 * (max(max(values) for _, values in panel.lines) or 1.0))
    labels = []
    for (label, values), (colour, dash) in zip(panel.lines, LOOKS, strict=False):
        axes.plot(minutes, values, color=colour, linestyle=dash, linewidth=1.3)
        labels.append((values[-1], label, colour))
    label_ends(axes, labels)
