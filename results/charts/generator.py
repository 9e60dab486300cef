"""Was the sender itself good enough? A late or scattered sender measures itself, not the service.

Three looks at it. *Lateness*: from the intended to the actual send of first attempts, with the p99
that the run allows. *Skew*: the time between the first and the last copy of one group of
duplicates to leave; copies that leave far apart cannot race. *Overlap*: how many of the groups
were under way at once as the sender saw it, and how many were really handled at once as the wire
saw it; the second is what counts, and how many of them the run asks for is marked. Orders that
the sender gave up to keep its schedule (shed) stand beside them.

The sender's use of the CPU is in no file of a run, so it is not here.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from results.bundle import Bundle
from results.charts.style import (
    AMBER,
    AMBER_INK,
    BLUE,
    INK,
    MUTED,
    SKY,
    VIOLET,
    Figures,
    log_axis,
    ms_words,
    put_grid,
    put_title,
    say,
)
from results.history import Deliveries
from results.latency import lateness_ms, percentile
from results.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS_A_DECADE = 6
LEAST_MS = 0.001  # earlier than that counts as this


class Histogram(Struct, frozen=True, kw_only=True):
    """So many values in each bin; bin n is 10^(n/6) ms and up, `bins` are (n, count)."""

    count: int
    p50_ms: float | None
    p99_ms: float | None
    bins: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> "Histogram":
        """Count the values."""
        ordered = sorted(values_ms)
        counts: dict[int, int] = {}
        for value in ordered:
            at = math.floor(math.log10(max(LEAST_MS, value)) * BINS_A_DECADE)
            counts[at] = counts.get(at, 0) + 1
        return cls(
            count=len(ordered),
            p50_ms=percentile(ordered, 0.50),
            p99_ms=percentile(ordered, 0.99),
            bins=tuple(counts.items()),
        )


class GeneratorFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn; None for what the run has no figure or no limit for."""

    lateness: Histogram
    lateness_p99_allowed_ms: float | None
    skew: Histogram  # one value for each group of duplicates
    groups: int
    overlapping_for_the_sender: int
    overlapping_at_the_wire: int | None
    overlapping_asked: int
    planned_orders: int
    shed_orders: int

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        late, skew, overlap = figure.subplots(1, 3, width_ratios=[3, 3, 2.4])
        _draw_histogram(late, self.lateness, BLUE, self.lateness_p99_allowed_ms)
        late.set_title("how late first attempts were sent", loc="left", fontsize=9)
        late.set_ylabel("deliveries")
        _draw_histogram(skew, self.skew, VIOLET, None)
        skew.set_title("from the first to the last copy of a group", loc="left", fontsize=9)
        skew.set_ylabel("groups")
        _draw_overlap(overlap, self)


def generator_figures(bundle: Bundle, verdict: Verdict) -> GeneratorFigures:
    """Measure the sender by what it wrote; the overlap is the verdict's own coverage."""
    coverage = verdict.coverage
    needs = bundle.manifest.thresholds
    late = Histogram.of(
        ms for one in bundle.history.deliveries if (ms := lateness_ms(one)) is not None
    )
    skew = Histogram.of(
        spread
        for group in bundle.history.groups().values()
        if (spread := _spread_ms(group)) is not None
    )
    return GeneratorFigures(
        title=_title(late, needs.lateness_p99_ms, skew, coverage.shed_orders),
        lateness=late,
        lateness_p99_allowed_ms=needs.lateness_p99_ms,
        skew=skew,
        groups=coverage.duplicate_groups,
        overlapping_for_the_sender=coverage.sender_overlapping_groups,
        overlapping_at_the_wire=(coverage.overlapping_groups if bundle.manifest.has_wire else None),
        overlapping_asked=needs.overlapping_groups,
        planned_orders=coverage.planned_orders,
        shed_orders=coverage.shed_orders,
    )


def _spread_ms(group: Deliveries) -> float | None:
    """From the first to the last copy that left; None if fewer than two did."""
    sent = [
        one.completion.sent_ns
        for one in group
        if one.completion is not None and one.completion.sent_ns is not None
    ]
    return (max(sent) - min(sent)) / 1e6 if len(sent) > 1 else None


def _title(late: Histogram, allowed_ms: float | None, skew: Histogram, shed: int) -> str:
    if late.p99_ms is None:
        return "The sender sent nothing"
    if allowed_ms is not None and late.p99_ms > allowed_ms:
        told = (
            f"The sender was late: p99 {ms_words(late.p99_ms)} behind its schedule, "
            f"{ms_words(allowed_ms)} are allowed"
        )
    else:
        told = f"The sender kept its schedule: p99 {ms_words(late.p99_ms)} late"
    if skew.p99_ms is not None:
        told += f"; 99 % of the groups left within {ms_words(skew.p99_ms)}"
    return f"{told}; {shed:,} orders were shed" if shed else told


def _draw_histogram(
    axes: "Axes", histogram: Histogram, colour: str, allowed_ms: float | None
) -> None:
    if not histogram.count:
        say(axes, "nothing to measure")
        return
    counts = dict(histogram.bins)
    numbers = range(min(counts), max(counts) + 1)
    edges = [10 ** (number / BINS_A_DECADE) for number in (*numbers, numbers[-1] + 1)]
    axes.stairs([counts.get(number, 0) for number in numbers], edges, fill=True, color=colour)
    marks = (
        ("p50", histogram.p50_ms, INK, (0, (3, 2))),
        ("p99", histogram.p99_ms, INK, (0, (3, 2))),
        ("allowed", allowed_ms, AMBER_INK, "-"),
    )
    known = [(name, ms, ink, line) for name, ms, ink, line in marks if ms is not None]
    right = max(edges[-1], *(ms for _, ms, _, _ in known))
    log_axis(axes.xaxis, edges[0], right, ms_words, room=5)
    axes.set_ylim(0, 1.25 * max(counts.values()))
    low, high = (math.log10(end) for end in axes.get_xlim())
    for row, (name, ms, ink, line) in enumerate(known):
        at = max(LEAST_MS, ms)
        side = "right" if math.log10(at) > (low + high) / 2 else "left"
        axes.axvline(at, color=ink, linewidth=1.1, linestyle=line)
        axes.text(at, 0.99 - 0.08 * row, f" {name} ", transform=axes.get_xaxis_transform(),
                  fontsize=8, va="top", color=ink, ha=side)  # fmt: skip
    axes.set_xlabel(", ".join(f"{name} {ms_words(ms)}" for name, ms, _, _ in known), fontsize=9)
    axes.yaxis.set_major_formatter(lambda count, _position: f"{count:,.0f}")
    put_grid(axes)


def _draw_overlap(axes: "Axes", figures: GeneratorFigures) -> None:
    axes.set_title("groups of duplicates", loc="left", fontsize=9)
    shed = f"orders shed: {figures.shed_orders:,} of {figures.planned_orders:,}"
    axes.set_xlabel(shed, loc="left", fontsize=9)
    if not figures.groups:
        say(axes, "there were none")
        return
    rows: Sequence[tuple[str, int | None, str]] = (
        ("released together", figures.groups, MUTED),
        ("under way at once", figures.overlapping_for_the_sender, SKY),
        ("handled at once, by the wire", figures.overlapping_at_the_wire, BLUE),
    )
    for row, (name, count, colour) in enumerate(rows):
        axes.barh(row, count or 0, height=0.42, color=colour)
        words = "not measured" if count is None else f"{count:,} ({count / figures.groups:.0%})"
        axes.text(0, row - 0.3, f"{name}: {words}", fontsize=8.5, va="bottom")
    if figures.overlapping_asked:
        axes.plot([figures.overlapping_asked] * 2, [1.72, 2.28], color=AMBER, linewidth=2.2,
                  solid_capstyle="butt")  # fmt: skip
        axes.text(0, 2.3, f"asked for: {figures.overlapping_asked:,}", fontsize=8.5,
                  color=AMBER_INK, va="top")  # fmt: skip
    axes.set_xlim(0, max(figures.groups, figures.overlapping_asked) * 1.02)
    axes.set_ylim(2.75, -0.85)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
