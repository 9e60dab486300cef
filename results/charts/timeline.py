"""What was done to the service, and what came of its deliveries, second by second.

Above: a lane for each kind of fault, with every moment it was injected and the time until it was
healed. Below: deliveries per second by their intended time, stacked by what the sender could
conclude: the first ok of an order's topic, an ok to a duplicate or a repetition, unknown, refused.
The title states the verdict; it is red if a promise was broken. How long answers took is the
`latency` chart's part, with the same axis of time.
"""

from typing import TYPE_CHECKING

from msgspec import Struct

from results.bundle import Bundle
from results.card import clip
from results.charts.faults import Lane, bands, fault_spans, lanes, shade
from results.charts.style import (
    AMBER,
    BAND,
    BLUE,
    MUTED,
    SKY,
    VIOLET,
    WIDTH_INCHES,
    Figures,
    beside,
    leave_margin,
    put_grid,
    put_title,
    say,
)
from results.charts.windows import Span, Windows
from results.history import Deliveries
from results.records import Outcome
from results.verdict import Validity, Verdict
from results.wording import headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_SECONDS, WINDOWS_MAX = 0.25, 60
COLOURS = {"first ok": BLUE, "ok again": SKY, "unknown": AMBER, "refused": VIOLET}
STACK_INCHES, LANE_INCHES, LANE_CHARACTERS = 3.1, 0.22, 29


class Layer(Struct, frozen=True, kw_only=True):
    """One outcome: how many deliveries had it, and how many per second in each window."""

    name: str
    count: int
    per_second: tuple[float, ...]


class TimelineFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn; times in seconds of the run."""

    broken: bool
    seconds: float
    lanes: tuple[Lane, ...]
    bands: tuple[tuple[float, float], ...]
    window_seconds: float
    edges_seconds: tuple[float, ...]
    layers: tuple[Layer, ...]  # from the bottom to the top

    @property
    def size(self) -> tuple[float, float]:
        """In inches: each lane makes the picture higher."""
        return WIDTH_INCHES, 0.5 + STACK_INCHES + LANE_INCHES * len(self.lanes)

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title, broken=self.broken)
        leave_margin(figure)
        above = len(self.lanes)
        if above:
            ratios = [LANE_INCHES * above, STACK_INCHES]
            top, stack = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
            _draw_lanes(top, self)
        else:
            stack = figure.subplots()
        _draw_stack(stack, self)
        stack.set_xlim(0, self.edges_seconds[-1])
        stack.set_xlabel("seconds since the first delivery")


def timeline_figures(bundle: Bundle, verdict: Verdict) -> TimelineFigures:
    """Count the outcomes of all deliveries, and lay out the faults."""
    deliveries = bundle.history.deliveries
    span = Span.of(deliveries)
    windows = Windows.over(span.seconds, at_least=WINDOW_SECONDS, most=WINDOWS_MAX)
    names = _outcomes(deliveries)
    counts = {name: [0] * (len(windows.edges) - 1) for name in COLOURS}
    for name, one in zip(names, deliveries, strict=True):
        counts[name][windows.index(span.at(one.intent.intended_ns))] += 1
    faults = fault_spans(bundle.faults, span)
    return TimelineFigures(
        title=headline(verdict),
        broken=verdict.validity is Validity.INVALID,
        seconds=span.seconds,
        lanes=lanes(faults, span),
        bands=bands(faults, span),
        window_seconds=windows.step_seconds,
        edges_seconds=windows.edges,
        layers=tuple(
            Layer(
                name=name,
                count=sum(own),
                per_second=tuple(count / windows.width(n) for n, count in enumerate(own)),
            )
            for name, own in counts.items()
            if any(own)
        ),
    )


def _outcomes(deliveries: Deliveries) -> list[str]:
    """What became of each delivery; the first ok is the one that was answered first."""
    first: dict[tuple[object, ...], tuple[int, str]] = {}
    for one in deliveries:
        if one.completion and one.outcome is Outcome.OK:
            mine = (one.completion.done_ns, one.intent.attempt_id)
            topic = one.intent.shop, one.intent.order_id, one.intent.topic, one.intent.authentic
            first[topic] = min(mine, first.get(topic, mine))
    firsts = {attempt for _, attempt in first.values()}
    words = {Outcome.INFO: "unknown", Outcome.FAIL: "refused"}
    return [
        words.get(one.outcome) or ("first ok" if one.intent.attempt_id in firsts else "ok again")
        for one in deliveries
    ]


def _draw_lanes(axes: "Axes", figures: TimelineFigures) -> None:
    for row, lane in enumerate(figures.lanes):
        spans = [(begin, end - begin) for begin, end in lane.bands]
        axes.broken_barh(spans, (row - 0.3, 0.6), color=BAND, alpha=0.45, linewidth=0)
        axes.vlines(lane.moments, row - 0.3, row + 0.3, color=MUTED, linewidth=1.3)
        words = clip(f"{lane.count:,} × {lane.name}", LANE_CHARACTERS)
        beside(axes, row, words, axes.get_yaxis_transform(), fontsize=8.5)
    axes.set_ylim(len(figures.lanes) - 0.4, -0.6)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_stack(axes: "Axes", figures: TimelineFigures) -> None:
    if not figures.layers:
        say(axes, "nothing was sent")
        return
    bottom = [0.0] * (len(figures.edges_seconds) - 1)
    for layer in figures.layers:
        top = [low + rate for low, rate in zip(bottom, layer.per_second, strict=True)]
        axes.stairs(top, figures.edges_seconds, baseline=bottom, fill=True,
                    color=COLOURS[layer.name], label=f"{layer.name} {layer.count:,}")  # fmt: skip
        bottom = top
    shade(axes, figures.bands, figures.seconds)
    put_grid(axes)
    axes.set_ylabel("deliveries per second")
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.03), frameon=False, handlelength=1, reverse=True,
        borderaxespad=0.3, fontsize=9,
    )  # fmt: skip
    legend.set_in_layout(False)
