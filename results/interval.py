"""A percentile with what is known of it: the exact 95 % interval between two order statistics.

How many of n values lie below the true percentile is binomial, whatever the values' distribution,
so two of the sorted values enclose it with at least 95 % confidence (Hahn and Meeker, Statistical
Intervals, 5.2). Nothing is assumed and nothing is drawn by lot. Where there are too few values for
an end (a p99 needs 368 of them for its upper one), that end is open, and an open interval
overlaps with everything on its side.

Limits: deliveries count as independent. Copies of one burst are not quite, so an interval is
somewhat too narrow. And it speaks of one run: what else the machine did during another one is in
no interval, so two runs of the same thing may differ by more than theirs.
"""

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from results.latency import percentile

CONFIDENCE = 0.95


class Interval(Struct, frozen=True, kw_only=True):
    """A percentile of `count` latencies in ms; None for an end that so few values cannot give."""

    share: float  # 0.99 for the p99
    count: int
    value_ms: float | None
    low_ms: float | None
    high_ms: float | None

    def apart_from(self, other: "Interval") -> bool:
        """Whether the two do not overlap: only then do the percentiles differ."""
        return _below(self, other) or _below(other, self)


def interval(ordered_ms: Sequence[float], share: float) -> Interval:
    """The percentile of sorted latencies, and its interval."""
    low, high = ranks(len(ordered_ms), share)
    return Interval(
        share=share,
        count=len(ordered_ms),
        value_ms=percentile(ordered_ms, share),
        low_ms=None if low is None else ordered_ms[low - 1],
        high_ms=None if high is None else ordered_ms[high - 1],
    )


def ranks(count: int, share: float) -> tuple[int | None, int | None]:
    """The ranks (from 1) that enclose the percentile of `count` values; None: not one does.

    The lower one is the highest that lies above the percentile with at most 2.5 % chance, the
    upper one the lowest that lies below it with at most that.
    """
    tail = (1 - CONFIDENCE) / 2
    chances = [_chance(count, share, below) for below in range(count + 1)]
    low, beneath = 0, chances[0]  # beneath: the chance that at most `low` values lie below
    while low < count and beneath <= tail:
        low += 1
        beneath += chances[low]
    high, above = count + 1, chances[count]  # above: that at least `high - 1` values do
    while high > 1 and above <= tail:
        high -= 1
        above += chances[high - 1]
    return (low if low >= 1 else None), (high if high <= count else None)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """The exact 95 % interval of a share of which `hits` of `count` were seen (Clopper, Pearson).

    Each end is the share at which what was seen, or more (less) of it, has a chance of 2.5 %.
    """
    tail = (1 - CONFIDENCE) / 2

    def at_least(share: float) -> float:
        return sum(_chance(count, share, below) for below in range(hits, count + 1))

    def at_most(share: float) -> float:
        return sum(_chance(count, share, below) for below in range(hits + 1))

    low = 0.0 if hits == 0 else _root(lambda share: at_least(share) - tail)
    high = 1.0 if hits == count else _root(lambda share: tail - at_most(share))
    return low, high


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of a share becomes 0, by halving."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _chance(count: int, share: float, below: int) -> float:
    """The binomial chance that exactly so many of `count` values lie below the percentile."""
    ways = math.lgamma(count + 1) - math.lgamma(below + 1) - math.lgamma(count - below + 1)
    return math.exp(ways + below * math.log(share) + (count - below) * math.log1p(-share))


def _below(one: Interval, other: Interval) -> bool:
    return one.high_ms is not None and other.low_ms is not None and one.high_ms < other.low_ms
