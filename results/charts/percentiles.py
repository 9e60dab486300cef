"""The whole distribution of latencies on one curve, stretched where it matters: towards the end.

The x axis is the share of deliveries that were faster, in equal steps from 90 % to 99 % to 99.9 %,
as HDR histograms are shown. A curve ends with its slowest delivery, and only those marks are shown
that so few deliveries allow: three hundred of them have no 99.9 %. Of one run there are two curves,
from the intended and from the actual send; of several runs one each, from the intended send.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from results.bundle import Bundle
from results.charts.style import (
    AMBER,
    BLUE,
    VIOLET,
    Figures,
    label_ends,
    leave_margin,
    log_axis,
    ms_words,
    put_grid,
    put_title,
    say,
)
from results.charts.windows import Span, answers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS_A_NINE = 20  # points from 90 % to 99 %, from 99 % to 99.9 %, ...
LEAST_MS = 0.001
MARKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
STYLES = tuple((colour, line) for line in ("-", "--") for colour in (BLUE, VIOLET, AMBER))
RUNS_MAX = len(STYLES)


class Curve(Struct, frozen=True, kw_only=True):
    """One line: `points` are (share of the deliveries, latency in ms), the last one the slowest."""

    name: str
    run_id: str
    count: int
    actual: bool  # from the actual send
    points: tuple[tuple[float, float], ...]


class PercentilesFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn."""

    curves: tuple[Curve, ...]

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        leave_margin(figure)
        axes = figure.subplots()
        known = [curve for curve in self.curves if curve.count]
        if not known:
            say(axes, "no delivery was acknowledged")
            return
        most = max(curve.count for curve in known)
        right = math.log10(most) + 0.3
        labels: list[tuple[float, str, str]] = []
        for curve, style in zip(self.curves, STYLES, strict=False):
            if not curve.count:
                continue
            colour, line = (VIOLET, (0, (3, 2))) if curve.actual else style
            at = [_nines(share, curve.count) for share, _ in curve.points]
            values = [max(LEAST_MS, ms) for _, ms in curve.points]
            axes.plot(at, values, color=colour, linestyle=line, linewidth=1.8)
            labels.append((values[-1], curve.name, colour))
        values = [max(LEAST_MS, ms) for curve in known for _, ms in curve.points]
        log_axis(axes.yaxis, min(values), max(values), ms_words)
        marks = [mark for mark in MARKS if reached(mark, most)]
        axes.set_xticks(
            [_nines(mark, most) for mark in marks], [f"{mark * 100:.7g} %" for mark in marks]
        )
        axes.set_xlim(0, right)
        put_grid(axes, "both")
        label_ends(axes, labels)
        axes.set_title("latency of acknowledged deliveries", loc="left", fontsize=9)
        axes.set_xlabel("share of the deliveries that were no slower")


def percentiles_figures(runs: Sequence[tuple[str, Bundle]]) -> PercentilesFigures:
    """One run gives two curves, several give one each; at most RUNS_MAX runs, known by names."""
    curves = []
    for name, bundle in runs[:RUNS_MAX]:
        deliveries = bundle.history.deliveries
        found = answers(deliveries, Span.of(deliveries))
        run_id = bundle.manifest.run_id
        curves.append(_curve(name, run_id, [one.intended_ms for one in found]))
        if len(runs) == 1:
            sent_ms = [one.sent_ms for one in found]
            curves.append(_curve("from the actual send", run_id, sent_ms, actual=True))
    return PercentilesFigures(title=_title(curves, len(runs)), curves=tuple(curves))


def _curve(name: str, run_id: str, values: list[float], *, actual: bool = False) -> Curve:
    ordered = sorted(values)
    count = len(ordered)
    steps = range(math.ceil(math.log10(max(1, count)) * STEPS_A_NINE) + 1)
    shares = [1 - 10 ** (-step / STEPS_A_NINE) for step in steps]
    shares += [mark for mark in MARKS if reached(mark, count)]
    ranks = {min(count, max(1, math.ceil(share * count))) for share in shares}
    return Curve(
        name=name,
        run_id=run_id,
        count=count,
        actual=actual,
        points=tuple((rank / count, ordered[rank - 1]) for rank in sorted({*ranks, count}) if rank),
    )


def reached(share: float, count: int) -> bool:
    """Whether so many deliveries have such a percentile at all: one of them lies beyond it."""
    return count * (1 - share) > 0.999


def _title(curves: Sequence[Curve], runs: int) -> str:
    known = [curve for curve in curves if curve.count]
    if not known:
        return "No delivery was acknowledged"
    if runs > 1:
        return "99 % were acknowledged within " + ", ".join(
            f"{ms_words(_value(curve, 0.99))} ({curve.name})" for curve in known
        )
    curve = known[0]
    mark = max(share for share in MARKS if reached(share, curve.count))
    if not mark:
        return f"The only answer took {ms_words(curve.points[-1][1])}"
    return (
        f"{mark * 100:.7g} % of {curve.count:,} answers came within "
        f"{ms_words(_value(curve, mark))} of the intended send, the slowest after "
        f"{ms_words(curve.points[-1][1])}"
    )


def _value(curve: Curve, share: float) -> float:
    """The latency at this share, or at the next one that the curve has."""
    return next(ms for at, ms in curve.points if at >= share)


def _nines(share: float, count: int) -> float:
    """Where a share stands: 90 % at 1, 99 % at 2; the slowest of so many a bit behind the last."""
    return math.log10(2 * count) if share >= 1 else -math.log10(1 - share)
