"""The chart of what a run used: memory, open files, connections and disk over its time.

Drawn for runs that are long enough for a leak to show. The title says whether the lines became
flat (`results.growth`), the numbers are in `resources.json` beside it. Reproducible as all charts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from results.charts import INK, MUTED, chart_style, save
from results.growth import FLAT, LOOKS_MIN, Growth, growth, not_flat
from results.records import Resources
from results.run_folder import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#3b78c4", "#e69f00", "#5b3a8e", "#4aa3a2", "#80868f", "#b07aa1", "#1a1c1f", "#c5a3e0")
Line = tuple[str, list[float]]


class Drawn(msgspec.Struct, frozen=True):
    """The numbers of the chart: each panel's lines over the same seconds."""

    seconds: list[float]
    panels: dict[str, list[Line]]
    growth: tuple[Growth, ...]


def figures(looks: Sequence[Resources]) -> Drawn:
    """What is drawn; MB are 10^6 bytes."""
    roles = sorted({role for look in looks for role in look.memory_bytes})
    places = sorted({place for look in looks for place in look.disk_bytes})
    return Drawn(
        seconds=[(look.at_ns - looks[0].at_ns) / 1e9 for look in looks],
        panels={
            "memory, MB": [
                (role, [look.memory_bytes.get(role, 0) / 1e6 for look in looks]) for role in roles
            ],
            "open files": [
                (role, [float(look.open_files.get(role, 0)) for look in looks]) for role in roles
            ],
            "connections to the database": [
                ("clients", [float(look.connections) for look in looks])
            ],
            "disk, MB": [
                (place, [look.disk_bytes.get(place, 0) / 1e6 for look in looks]) for place in places
            ],
        },
        growth=growth(looks),
    )


def draw_resources(looks: Sequence[Resources], salt: str, folder: Path) -> Path | None:
    """Write `resources.png`, `.svg` and `.json` into `folder`; None if the run was too short."""
    if len(looks) < LOOKS_MIN:
        return None
    import matplotlib as mpl  # noqa: PLC0415 - slow, see results.charts

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    drawn = figures(looks)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "resources.json", msgspec.json.format(msgspec.json.encode(drawn)))
    png = folder / "resources.png"
    with mpl.rc_context(chart_style(salt)):
        figure, grid = plt.subplots(2, 2, sharex=True, figsize=(10, 6), layout="constrained")
        figure.suptitle(title(drawn.growth), x=0.012, ha="left", fontweight="bold", wrap=True)
        for axes, (name, lines) in zip(grid.flat, drawn.panels.items(), strict=True):
            _panel(axes, name, drawn.seconds, lines)
        for axes in grid[1]:
            axes.set_xlabel("minutes")
        save(figure, png, folder / "resources.svg")
        plt.close(figure)
    return png


def title(found: Sequence[Growth]) -> str:
    """The finding in a sentence."""
    grown = not_flat(found)
    if not grown:
        return (
            f"Flat: nothing used grew by more than {FLAT:.0%} from the second quarter to the last"
        )
    worst = ", ".join(
        f"{one.what} " + ("appeared" if one.share is None else f"+{one.share:.0%}")
        for one in grown[:3]
    )
    return f"Not flat: {worst} from the second quarter to the last"


def _panel(axes: "Axes", name: str, seconds: Sequence[float], lines: Sequence[Line]) -> None:
    minutes = [second / 60 for second in seconds]
    axes.set_title(name, loc="left", fontsize=10)
    axes.grid(axis="y", color=MUTED, alpha=0.22, linewidth=0.6)
    top = max((max(values) for _, values in lines), default=1.0) or 1.0
    axes.set_ylim(0, top * 1.08)
    axes.set_xlim(0, minutes[-1])
    room = 0.075 * top  # the least distance of two labels
    below = float("inf")
    for place, (label, values) in enumerate(sorted(lines, key=lambda line: -line[1][-1])):
        colour = PALETTE[place % len(PALETTE)]
        axes.plot(minutes, values, color=colour, linewidth=1.4)
        below = min(values[-1], below - room)
        axes.annotate(
            label, (minutes[-1], below), xytext=(5, 0), textcoords="offset points", va="center",
            color=colour if colour != INK else INK, fontsize=8, annotation_clip=False,
        )  # fmt: skip
