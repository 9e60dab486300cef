"""What all deliveries of a run come to in numbers, however they were counted.

The coverage, the doubts, the findings and the latencies need sums and percentiles over every
delivery. `count` takes them from records; the screen (`results/screen/`) takes them from columns,
for a run that has too many deliveries to be records. A `Tally` can be added to another one, so
that one part of a run may be counted in the one way and the rest in the other.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from results.history import CANCELLED, Deliveries, History, OrderKey
from results.latency import Latency, lateness_ns, percentile
from results.records import Outcome

CREATED = "orders/create"
Interval = tuple[int, int, object]  # begin, end, whose
Percentiles = Callable[[float], float | None]  # of some values, in ms, by the share


class Figures(Struct, frozen=True, kw_only=True):
    """The figures of a whole run. Times in ms, or ns of the monotonic clock; None: without any."""

    orders: int = 0  # with an authentic orders/paid
    deliveries: int = 0
    retries: int = 0
    duplicate_groups: int = 0
    sender_overlapping_groups: int = 0
    unresolved_orders: int = 0  # without any `ok`
    effects: int = 0
    spurious_errors: int = 0  # answers of 500 and above, of orders that were acknowledged
    topics: dict[str, tuple[int, int]]  # of orders/create and orders/cancelled: sent, and `ok`
    paid_begun_ns: int | None = None  # the first intended send of an authentic orders/paid
    paid_ended_ns: int | None = None  # the last answer to one, or its intended send
    lateness_p50_ms: float | None = None
    lateness_p99_ms: float | None = None
    shipped_p50_ms: float | None = None
    shipped_p99_ms: float | None = None
    shipped_max_ms: float | None = None
    latency: Latency

    @property
    def paid(self) -> int:
        """Authentic orders/paid deliveries."""
        return self.latency.ok + self.latency.info + self.latency.fail


@dataclass(slots=True)
class Tally:
    """Sums that can be added up, and all values that a percentile is taken of, in ns."""

    orders: int = 0
    deliveries: int = 0
    retries: int = 0
    duplicate_groups: int = 0
    sender_overlapping_groups: int = 0
    unresolved_orders: int = 0
    effects: int = 0
    spurious_errors: int = 0
    ok: int = 0
    info: int = 0
    fail: int = 0
    created: int = 0
    created_ok: int = 0
    cancelled: int = 0
    cancelled_ok: int = 0
    ends_ns: dict[str, int] = field(default_factory=dict)  # of `EARLIEST` and `LATEST`
    late_ns: "array[int]" = field(default_factory=lambda: array("q"))
    shipped_ns: "array[int]" = field(default_factory=lambda: array("q"))
    latency_ns: "array[int]" = field(default_factory=lambda: array("q"))

    def extreme(self, name: str, value_ns: int | None) -> None:
        """Move one of the ends outwards."""
        if value_ns is not None:
            outer = min if name in EARLIEST else max
            self.ends_ns[name] = outer(value_ns, self.ends_ns.get(name, value_ns))

    def add(self, other: "Tally") -> None:
        """Add another one, of other orders."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, value_ns in other.ends_ns.items():
            self.extreme(name, value_ns)
        for name in VALUES:
            getattr(self, name).extend(getattr(other, name))


EARLIEST, LATEST = ("paid_begun", "ok_begun"), ("paid_ended", "ok_ended")
VALUES = ("late_ns", "shipped_ns", "latency_ns")
COUNTS = tuple(name for name in Tally.__slots__ if name not in (*VALUES, "ends_ns"))


def count(history: History, effects: Mapping[OrderKey, Mapping[str, int]]) -> Figures:
    """The figures of a run that is there as records."""
    tally = tallied(history, effects)
    values = (sorted(getattr(tally, name)) for name in VALUES)
    return figures(tally, *(_milliseconds(found) for found in values))


def tallied(history: History, effects: Mapping[OrderKey, Mapping[str, int]]) -> Tally:
    """Count the deliveries and shipments of some orders."""
    groups = history.groups()
    tally = Tally(
        orders=len(history.by_order),
        deliveries=len(history.deliveries),
        retries=sum(one.intent.attempt > 1 for one in history.deliveries),
        duplicate_groups=len(groups),
        sender_overlapping_groups=len(sender_overlapping_groups(groups)),
        unresolved_orders=len(history.unresolved()),
        effects=sum(len(own) for own in effects.values()),
    )
    for one in history.deliveries:
        if (late_ns := lateness_ns(one)) is not None:
            tally.late_ns.append(late_ns)
        acknowledged = one.outcome is Outcome.OK
        tally.created += one.intent.topic == CREATED
        tally.created_ok += one.intent.topic == CREATED and acknowledged
        tally.cancelled += one.intent.topic == CANCELLED
        tally.cancelled_ok += one.intent.topic == CANCELLED and acknowledged
    for key, found in history.by_order.items():
        _order(tally, found)
        if own := effects.get(key):
            first_ns = min(one.intent.intended_ns for one in found)
            tally.shipped_ns.append(min(own.values()) - first_ns)
    return tally


def _order(tally: Tally, found: Deliveries) -> None:
    """The payments of one order."""
    settled = any(one.outcome is Outcome.OK for one in found)
    for one in found:
        intended_ns, done = one.intent.intended_ns, one.completion
        tally.extreme("paid_begun", intended_ns)
        tally.extreme("paid_ended", done.done_ns if done else intended_ns)
        if settled and done is not None and (done.status or 0) >= 500:
            tally.spurious_errors += 1
        outcome = one.outcome
        tally.info += outcome is Outcome.INFO
        tally.fail += outcome is Outcome.FAIL
        if done is not None and outcome is Outcome.OK:
            tally.ok += 1
            tally.latency_ns.append(done.done_ns - intended_ns)
            tally.extreme("ok_begun", intended_ns)
            tally.extreme("ok_ended", done.done_ns)


def figures(tally: Tally, late: Percentiles, shipped: Percentiles, latency: Percentiles) -> Figures:
    """The figures of a tally, with a way to ask for the percentiles of its values."""
    ends = tally.ends_ns
    seconds = None
    if "ok_begun" in ends:
        seconds = (ends["ok_ended"] - ends["ok_begun"]) / 1e9
    return Figures(
        orders=tally.orders,
        deliveries=tally.deliveries,
        retries=tally.retries,
        duplicate_groups=tally.duplicate_groups,
        sender_overlapping_groups=tally.sender_overlapping_groups,
        unresolved_orders=tally.unresolved_orders,
        effects=tally.effects,
        spurious_errors=tally.spurious_errors,
        topics={CREATED: (tally.created, tally.created_ok),
                CANCELLED: (tally.cancelled, tally.cancelled_ok)},
        paid_begun_ns=ends.get("paid_begun"),
        paid_ended_ns=ends.get("paid_ended"),
        lateness_p50_ms=late(0.50),
        lateness_p99_ms=late(0.99),
        shipped_p50_ms=shipped(0.50),
        shipped_p99_ms=shipped(0.99),
        shipped_max_ms=shipped(1.0),
        latency=Latency(
            ok=tally.ok, info=tally.info, fail=tally.fail,
            p50_ms=latency(0.50), p90_ms=latency(0.90), p99_ms=latency(0.99),
            max_ms=latency(1.0), seconds=seconds,
        ),
    )  # fmt: skip


def _milliseconds(ordered_ns: Sequence[int]) -> Percentiles:
    """Percentiles of sorted values."""

    def of(share: float) -> float | None:
        value_ns = percentile(ordered_ns, share)
        return None if value_ns is None else value_ns / 1e6

    return of


def sender_overlapping_groups(
    groups: Mapping[tuple[OrderKey, str], Deliveries],
) -> set[tuple[OrderKey, str]]:
    """The groups of which two copies were under way at once, as the sender saw it."""
    return {
        group
        for group, deliveries in groups.items()
        if overlap(
            [(one.completion.sent_ns, one.completion.done_ns, one.intent.copy)
             for one in deliveries
             if one.completion is not None and one.completion.sent_ns is not None]
        )
    }  # fmt: skip


def overlap(intervals: Iterable[Interval]) -> bool:
    """Whether two intervals of different owners overlap: (begin, end, owner)."""
    ordered = sorted(intervals, key=lambda interval: interval[:2])
    for index, (_, end, owner) in enumerate(ordered):
        for begin, _, other in ordered[index + 1 :]:
            if begin >= end:
                break
            if other != owner:
                return True
    return False
