"""How often each way to end a replica really ended a transaction: aimed, polled, blind, graceful.

One row for each way: the share of its ends that are proved to have struck inside a transaction
that had written, as a dot with its exact 95 % interval, and the figures in words. An aimed crash
counts when it is evidenced at its point; for the others the wire tells afterwards what they hit.
An aimed crash is judged by what was asked: one that did not come to be, or is not proved, counts as
no hit. Of the others one that did not come to be is left out, and so is one of which nobody can
tell what it hit: a comparison must not take that for a miss.

Limits: a handler of one statement is never counted as hit without an aim (`landing` in
cluster/faults says why), so such a run flatters the aimed ones. Nothing is compared across runs;
the load, and with it the chance of a blind hit, is that of one scenario.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from results.bundle import Bundle
from results.charts.style import BLUE, MUTED, Figures, printable, put_grid, put_title, say
from results.coverage import AT_NO_POINT
from results.interval import share_interval
from results.records import Stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES, ROW_INCHES = 10, 0.42
WORDS = {
    "crash:polled": "SIGKILL once Postgres shows a transaction (poll, then kill)",
    "crash:blind": "SIGKILL at a random time",
    "graceful:blind": "graceful end at a random time (delete pod, SIGTERM)",
}


class Way(Struct, frozen=True, kw_only=True):
    """One way to end a replica."""

    name: str  # "crash:commit-dropped"
    aimed: bool
    ends: int  # asked for an aimed one, carried out for any other
    hits: int
    low: float  # the 95 % interval of the share
    high: float


class KillFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn."""

    ways: tuple[Way, ...]

    @property
    def size(self) -> tuple[float, float]:
        """In inches."""
        return WIDTH_INCHES, 1.4 + ROW_INCHES * max(3, len(self.ways))

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        axes = figure.subplots()
        if not self.ways:
            say(axes, "nothing was ended")
            return
        for row, way in enumerate(self.ways):
            colour = BLUE if way.aimed else MUTED
            axes.plot([way.low, way.high], [row, row], color=colour, linewidth=2.2)
            axes.plot([way.hits / way.ends], [row], "o", color=colour, markersize=7)
            axes.annotate(
                f"{way.hits} of {way.ends}", (1.02, row), xycoords=("axes fraction", "data"),
                va="center", fontsize=9,
            )  # fmt: skip
        names = [printable(WORDS.get(way.name, f"aimed {way.name}")) for way in self.ways]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", length=0)
        put_grid(axes, "x")
        axes.set_xlabel("ended inside a transaction that had written, with proof; line: 95 %")


def kill_figures(bundle: Bundle) -> KillFigures | None:
    """Count them; None where no replica was ended at all."""
    ends: dict[str, int] = defaultdict(int)
    hits: dict[str, int] = defaultdict(int)
    for name, asked in bundle.manifest.asked_faults.items():
        kind, _, point = name.partition(":")
        if kind == "crash" and point not in AT_NO_POINT:
            ends[name] = asked
    for record in bundle.faults:
        if record.stage is not Stage.EVIDENCE or record.kind not in ("crash", "graceful"):
            continue
        name, evidence = f"{record.kind}:{record.point}", record.evidence
        if name in ends and record.kind == "crash" and record.point not in AT_NO_POINT:
            hits[name] += evidence is not None and evidence.complete
            continue
        landed = None if evidence is None else evidence.facts.get("landed_in_transaction")
        if landed is None:
            continue
        ends[name] += 1
        hits[name] += landed is True
    ways = tuple(
        Way(name=name, aimed=name.partition(":")[2] not in AT_NO_POINT, ends=count,
            hits=hits[name], low=low, high=high)
        for name, count in ends.items()
        if count
        for low, high in [share_interval(hits[name], count)]
    )  # fmt: skip
    if not ways:
        return None
    return KillFigures(title=_title(ways), ways=ways)


def _title(ways: tuple[Way, ...]) -> str:
    """The finding."""

    def share(chosen: list[Way]) -> str:
        hit, ended = sum(way.hits for way in chosen), sum(way.ends for way in chosen)
        return f"{hit} of {ended}"

    aimed = [way for way in ways if way.aimed]
    others = [way for way in ways if not way.aimed]
    if aimed and others:
        return f"Aimed crashes hit a transaction {share(aimed)} times, others {share(others)}"
    if aimed:
        return f"Aimed crashes hit their point {share(aimed)} times"
    return f"Ends without an aim hit a transaction {share(others)} times"
