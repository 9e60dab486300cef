"""Latencies as the sender felt them: from the *intended* time, so that no queueing is left out.

A generator that falls behind sends late; measuring from the time of sending would hide just the
moments that matter (coordinated omission). All values are exact: a run has few enough deliveries
to sort them, so nothing is put into buckets. Outcomes are counted apart, and only `ok` deliveries
have a latency: a refused connection is fast and means nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from results.records import Delivery, Outcome


class Latency(Struct, frozen=True, kw_only=True):
    """Counts by outcome, and percentiles of the `ok` deliveries in ms; None without any.

    `seconds` is from the first intended send of an `ok` delivery to the last answer of one.
    """

    ok: int = 0
    info: int = 0
    fail: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    seconds: float | None = None

    @property
    def ok_per_second(self) -> float | None:
        """Acknowledged deliveries per second; None without any."""
        return self.ok / self.seconds if self.seconds else None


class Second(Struct, frozen=True, kw_only=True):
    """One second of the run, by intended time."""

    second: int  # since the start given
    ok: int
    info: int
    fail: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @property
    def arrivals(self) -> int:
        """Deliveries intended within this second."""
        return self.ok + self.info + self.fail


def percentile(values: Sequence[float], share: float) -> float | None:
    """The exact percentile by nearest rank of *sorted* values; None when there are none."""
    if not values:
        return None
    return values[max(0, math.ceil(share * len(values)) - 1)]


def lateness_ns(delivery: Delivery) -> int | None:
    """How late the sender was with a first attempt of an orders/paid; None: not such a one.

    What it waited for the service's answer to earlier news of the order is not its own.
    """
    intent, completion = delivery.intent, delivery.completion
    if intent.attempt != 1 or intent.topic != "orders/paid":
        return None
    if completion is None or completion.sent_ns is None:
        return None
    return completion.sent_ns - intent.intended_ns - intent.waited_ns


def lateness_ms(delivery: Delivery) -> float | None:
    """The same in ms."""
    late_ns = lateness_ns(delivery)
    return None if late_ns is None else late_ns / 1e6


def latency_ms(delivery: Delivery) -> float | None:
    """From the intended time to the complete answer; None without an `ok`."""
    if delivery.completion is None or delivery.outcome is not Outcome.OK:
        return None
    return (delivery.completion.done_ns - delivery.intent.intended_ns) / 1e6


def acknowledged_ms(deliveries: Iterable[Delivery]) -> list[float]:
    """The latencies of the `ok` deliveries, sorted."""
    return _tally(deliveries)[1]


def series(deliveries: Iterable[Delivery], start_ns: int) -> list[Second]:
    """Second by second since `start_ns`; seconds without arrivals are left out."""
    seconds: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        seconds[(delivery.intent.intended_ns - start_ns) // 1_000_000_000].append(delivery)
    found = []
    for second in sorted(seconds):
        counts, values = _tally(seconds[second])
        found.append(
            Second(
                second=second,
                ok=counts[Outcome.OK],
                info=counts[Outcome.INFO],
                fail=counts[Outcome.FAIL],
                p50_ms=percentile(values, 0.50),
                p99_ms=percentile(values, 0.99),
                max_ms=values[-1] if values else None,
            )
        )
    return found


def _tally(deliveries: Iterable[Delivery]) -> tuple[dict[Outcome, int], list[float]]:
    counts = dict.fromkeys(Outcome, 0)
    values = []
    for delivery in deliveries:
        counts[delivery.outcome] += 1
        value = latency_ms(delivery)
        if value is not None:
            values.append(value)
    return counts, sorted(values)
