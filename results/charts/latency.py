"""How long the answers took while the run went on: p50, p90 and p99, window by window.

Solid lines count from the *intended* send, dashed ones from the actual send, of the same answers:
where the two part, the sender had to wait, and a tool that counts from the actual send would not
show it (coordinated omission). Only acknowledged deliveries have a latency; a window without any
is a gap in the lines. A window of few answers has its slowest one as p99: `count` says how many.
"""

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from results.bundle import Bundle
from results.charts.faults import bands, fault_spans, shade
from results.charts.style import (
    AMBER,
    BLUE,
    VIOLET,
    Figures,
    beside,
    label_ends,
    leave_margin,
    log_axis,
    ms_words,
    put_grid,
    put_title,
    say,
)
from results.charts.windows import Answer, Span, Windows, answers
from results.latency import percentile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW_SECONDS, WINDOWS_MAX = 0.5, 240
LEAST_MS = 0.001  # a log axis has no zero
LINES = (("p50", BLUE), ("p90", AMBER), ("p99", VIOLET))
PARTS_FROM = 1.5  # so many times longer from the intended send: the title says so


class Percentiles(Struct, frozen=True, kw_only=True):
    """Of one set of latencies, in ms; None without any."""

    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, values: list[float]) -> "Percentiles":
        """By nearest rank, as everywhere."""
        ordered = sorted(values)
        return cls(
            p50=percentile(ordered, 0.50),
            p90=percentile(ordered, 0.90),
            p99=percentile(ordered, 0.99),
        )


class Window(Struct, frozen=True, kw_only=True):
    """The answers to the deliveries that were intended within this window."""

    at_seconds: float  # its middle
    count: int
    intended_ms: Percentiles
    sent_ms: Percentiles


class LatencyFigures(Figures, frozen=True, kw_only=True):
    """All that is drawn; times in seconds of the run."""

    seconds: float
    bands: tuple[tuple[float, float], ...]
    window_seconds: float
    windows: tuple[Window, ...]

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        leave_margin(figure)
        axes = figure.subplots()
        intended, sent = (
            {name: [_shown(getattr(getattr(window, kind), name)) for window in self.windows]
             for name, _ in LINES}
            for kind in ("intended_ms", "sent_ms")
        )  # fmt: skip
        known = [ms for line in (*intended.values(), *sent.values()) for ms in line if ms > 0]
        if not known:
            say(axes, "no delivery was acknowledged")
            return
        shade(axes, self.bands, self.seconds)
        at = [window.at_seconds for window in self.windows]
        for name, colour in LINES:
            axes.plot(at, sent[name], color=colour, linewidth=1.1, linestyle=(0, (3, 2)))
            axes.plot(at, intended[name], color=colour, linewidth=1.8, marker="o", markersize=2.2)
        log_axis(axes.yaxis, min(known), max(known), ms_words)
        axes.set_xlim(0, self.seconds)
        put_grid(axes)
        label_ends(axes, [(_last(intended[name]), name, colour) for name, colour in LINES])
        beside(axes, 1.07, "━━ from the intended send", axes.transAxes, fontsize=8.5)
        beside(axes, 0.98, "╌╌ from the actual send", axes.transAxes, fontsize=8.5)
        axes.set_title(
            f"latency of acknowledged deliveries, windows of {self.window_seconds:g} s",
            loc="left", fontsize=9,
        )  # fmt: skip
        axes.set_xlabel("seconds since the first delivery")


def latency_figures(bundle: Bundle) -> LatencyFigures:
    """Sort the acknowledged deliveries into windows by their intended time."""
    span = Span.of(bundle.history.deliveries)
    windows = Windows.over(span.seconds, at_least=WINDOW_SECONDS, most=WINDOWS_MAX)
    found = answers(bundle.history.deliveries, span)
    binned: list[list[Answer]] = [[] for _ in windows.edges[1:]]
    for one in found:
        binned[windows.index(one.at_seconds)].append(one)
    return LatencyFigures(
        title=_title(_measured(found, 0).intended_ms, _measured(found, 0).sent_ms),
        seconds=windows.edges[-1],
        bands=bands(fault_spans(bundle.faults, span), span),
        window_seconds=windows.step_seconds,
        windows=tuple(_measured(own, windows.middle(n)) for n, own in enumerate(binned)),
    )


def _measured(own: list[Answer], at_seconds: float) -> Window:
    return Window(
        at_seconds=at_seconds,
        count=len(own),
        intended_ms=Percentiles.of([one.intended_ms for one in own]),
        sent_ms=Percentiles.of([one.sent_ms for one in own]),
    )


def _title(intended: Percentiles, sent: Percentiles) -> str:
    if intended.p50 is None or intended.p99 is None or sent.p99 is None:
        return "No delivery was acknowledged"
    if intended.p99 > PARTS_FROM * sent.p99:
        return (
            f"99 % were acknowledged within {ms_words(intended.p99)}; counted from the actual "
            f"send it would read {ms_words(sent.p99)}"
        )
    return (
        f"Half were acknowledged within {ms_words(intended.p50)}, 99 % within "
        f"{ms_words(intended.p99)} of the intended send"
    )


def _shown(ms: float | None) -> float:
    return math.nan if ms is None else max(LEAST_MS, ms)


def _last(values: list[float]) -> float:
    return next(value for value in reversed(values) if not math.isnan(value))
