"""The faults of a run as the charts over time show them.

A fault lasts from its injection to its heal; where nothing was healed it is a moment. The timeline
has a lane for each kind, the other charts a band behind the data for all of them together. What
lies closer together than a reader could see is drawn as one, so thousands of faults stay cheap.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from results.charts.style import BAND
from results.charts.windows import Span
from results.records import FaultRecord, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANES_MAX = 8
RESOLUTION = 400  # parts of the run's time that can be told apart
Band = tuple[float, float]  # begin and end, in seconds of the run


class FaultSpan(Struct, frozen=True, kw_only=True):
    """One injected fault, in seconds of the run."""

    begin_seconds: float
    end_seconds: float
    name: str  # kind and point
    replica: str


class Lane(Struct, frozen=True, kw_only=True):
    """All faults of one kind: how many there were, when each began, and how long they lasted."""

    name: str
    count: int
    moments: tuple[float, ...]
    bands: tuple[Band, ...]


def fault_spans(faults: Iterable[FaultRecord], span: Span) -> list[FaultSpan]:
    """Every injected fault that began within the run, in the order of time."""
    records = list(faults)
    healed: dict[str, int] = {}
    for record in records:
        if record.stage is Stage.HEAL:
            healed[record.fault_id] = max(record.at_ns, healed.get(record.fault_id, 0))
    found = []
    for record in sorted(records, key=lambda record: record.at_ns):
        begin = span.at(record.at_ns)
        if record.stage is not Stage.INJECT or begin > span.seconds:
            continue
        end = span.at(healed.get(record.fault_id, record.at_ns))
        found.append(
            FaultSpan(
                begin_seconds=max(0.0, begin),
                end_seconds=max(0.0, begin, min(end, span.seconds)),
                name=f"{record.kind} {record.point}".strip(),
                replica=record.replica,
            )
        )
    return found


def lanes(faults: Sequence[FaultSpan], span: Span) -> tuple[Lane, ...]:
    """A lane for each kind, the most frequent ones by name and the rest together in the last."""
    kinds: dict[str, list[FaultSpan]] = defaultdict(list)
    for fault in faults:
        kinds[fault.name].append(fault)
    if len(kinds) > LANES_MAX:
        ranked = sorted(kinds, key=lambda name: -len(kinds[name]))
        rest = set(ranked[LANES_MAX - 1 :])
        other = [fault for fault in faults if fault.name in rest]
        kinds = {name: own for name, own in kinds.items() if name not in rest}
        kinds[f"{len(rest)} other kinds"] = other
    return tuple(
        Lane(name=name, count=len(own), moments=_moments(own, span), bands=bands(own, span))
        for name, own in kinds.items()
    )


def _moments(faults: Iterable[FaultSpan], span: Span) -> tuple[float, ...]:
    """When they began, without those that stand where another one is drawn."""
    found: list[float] = []
    for begin in sorted(fault.begin_seconds for fault in faults):
        if not found or begin - found[-1] > span.seconds / RESOLUTION:
            found.append(begin)
    return tuple(found)


def bands(faults: Iterable[FaultSpan], span: Span) -> tuple[Band, ...]:
    """The time of these faults, in order, without overlaps and without invisible gaps."""
    found: list[Band] = []
    for fault in sorted(faults, key=lambda fault: fault.begin_seconds):
        begin, end = fault.begin_seconds, fault.end_seconds
        if found and begin - found[-1][1] < span.seconds / RESOLUTION:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return tuple(found)


def shade(axes: "Axes", shown: Iterable[Band], span_seconds: float) -> None:
    """Bands behind the data; a moment is as wide as can be seen."""
    least = span_seconds / RESOLUTION
    for begin, end in shown:
        axes.axvspan(begin, max(end, begin + least), color=BAND, alpha=0.28, linewidth=0, zorder=0)
