"""What the charts over time share: when the run began, how long it was, and its windows.

Time starts with the first intended send and ends with the last answer. Windows have a length that
a person would choose, and there are never more of them than a reader can tell apart: a chart of an
hour is as quick to draw and to read as one of a minute. The last window ends with the run, so a
rate in it is one of the time that it really had; a rest of less than half a window belongs to the
window before it.
"""

from collections.abc import Sequence

from msgspec import Struct

from results.records import Delivery, Outcome

STEPS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Span(Struct, frozen=True, kw_only=True):
    """The time of a run: all of its deliveries."""

    origin_ns: int
    seconds: float

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> "Span":
        """From the first intended send to the last answer; without deliveries it is empty."""
        origin_ns = min((one.intent.intended_ns for one in deliveries), default=0)
        end_ns = max(map(_ended_ns, deliveries), default=0)
        return cls(origin_ns=origin_ns, seconds=max(0, end_ns - origin_ns) / 1e9)

    def at(self, time_ns: int) -> float:
        """Seconds since the origin."""
        return (time_ns - self.origin_ns) / 1e9


class Windows(Struct, frozen=True, kw_only=True):
    """Where the windows of a chart lie: `edges` has one more than there are windows, in seconds."""

    step_seconds: float
    edges: tuple[float, ...]

    @classmethod
    def over(cls, seconds: float, *, at_least: float, most: int) -> "Windows":
        """Windows of the shortest length that is `at_least` so long and needs at most `most`."""
        fits = (one for one in STEPS_SECONDS if one >= at_least and seconds <= one * most)
        step = next(fits, seconds / most)
        count = max(1, round(seconds / step))
        last = seconds if seconds > (count - 1) * step else step
        return cls(step_seconds=step, edges=(*(n * step for n in range(count)), last))

    def index(self, seconds: float) -> int:
        """The window of this time; what lies outside belongs to the first or the last one."""
        return max(0, min(len(self.edges) - 2, int(seconds / self.step_seconds)))

    def middle(self, index: int) -> float:
        """In seconds."""
        return (self.edges[index] + self.edges[index + 1]) / 2

    def width(self, index: int) -> float:
        """In seconds; the last window is shorter or longer than the others."""
        return self.edges[index + 1] - self.edges[index]


class Answer(Struct, frozen=True):
    """An acknowledged delivery: when it was intended, and how long its answer took."""

    at_seconds: float
    intended_ms: float  # from the intended send
    sent_ms: float  # from the actual send


def answers(deliveries: Sequence[Delivery], span: Span) -> list[Answer]:
    """Those of the authentic deliveries that were acknowledged: what a verdict's latency is of."""
    found = []
    for one in deliveries:
        done = one.completion
        if done is None or done.outcome is not Outcome.OK or not one.intent.authentic:
            continue
        intended_ns = one.intent.intended_ns
        sent_ns = intended_ns if done.sent_ns is None else done.sent_ns
        found.append(
            Answer(
                span.at(intended_ns),
                (done.done_ns - intended_ns) / 1e6,
                (done.done_ns - sent_ns) / 1e6,
            )
        )
    return found


def _ended_ns(one: Delivery) -> int:
    return one.completion.done_ns if one.completion else one.intent.intended_ns
