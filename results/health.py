"""When a run was calm, when an order was settled, and who was turned away all the same.

A 5xx while a replica is down says nothing of the handler; the same 5xx with nothing going on does.
*Disturbed* is the time from the first act of a fault (its park, its intent) to its heal, and every
hold of the wire. An attempt is *calm* if it was really sent and ended outside of all that. The
sender has *given up* on a copy of a webhook when the last attempt that it makes has ended and none
was ok; a copy that it stopped repeating earlier (a swarm that was told to stop) proves nothing.
One calm refusal may be spurious and healed by a retry, so two of them are asked for.

An order is *settled* from its first shipment on. Limits: what nobody journaled (a machine without
memory, a network of its own will) counts as calm; a run whose control was lost, or whose journal
or trace lacks a line, is disturbed throughout.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results.bundle import Bundle
from results.history import OrderKey, status_of
from results.records import Delivery, FaultRecord, Outcome, Stage

CALM_ATTEMPTS_MIN = 2
FOREVER_NS = 2**63
ACTS = (Stage.PARKED, Stage.INTENT, Stage.INJECT, Stage.EVIDENCE)
ENDS = (Stage.HEAL, Stage.MISSED)
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Health:
    """The disturbed spans of a run, in order and without overlaps."""

    disturbed: tuple[Span, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> "Health":
        """From the journal's faults and the wire's holds."""
        if unknown(bundle):
            return cls(((0, FOREVER_NS),))
        holds = [(hold.parked_ns, hold.released_ns) for hold in bundle.holds]
        return cls(merged([*holds, *fault_spans(bundle.faults)]))

    def calm(self, begin_ns: int, end_ns: int) -> bool:
        """True when nothing disturbed any part of this time."""
        after = bisect_left(self.disturbed, (end_ns + 1,))
        return after == 0 or self.disturbed[after - 1][1] < begin_ns

    def attempts(self, deliveries: Iterable[Delivery], since_ns: int = 0) -> list[Delivery]:
        """Those that were sent at that time or later, and were calm to their end."""
        return [
            delivery
            for delivery in deliveries
            if (done := delivery.completion) is not None
            and done.sent_ns is not None
            and done.sent_ns >= since_ns
            and self.calm(done.sent_ns, done.done_ns)
        ]


def unknown(bundle: Bundle) -> str | None:
    """Why nobody can tell when this run was calm; None: it can be told."""
    if bundle.manifest.controller_lost:
        return f"a part of the harness was lost: {bundle.manifest.controller_lost}"
    if bundle.damaged("journal") or bundle.damaged("wire") or bundle.trace_full:
        return "the journal or the wire's trace lacks lines, so nobody knows when it was calm"
    return None


def never_calm(bundle: Bundle) -> str | None:
    """Why no refusal of this run would tell anything: none came in a calm moment."""
    health = Health.of(bundle)
    if any(health.attempts(found) for found in bundle.history.by_order.values()):
        return None
    return "no delivery was made in a calm moment"


def never_repeated(bundle: Bundle) -> str | None:
    """Why nobody knows what a settled order answers: it was never asked again, calmly."""
    health = Health.of(bundle)
    for key, found in bundle.history.by_order.items():
        since_ns = settled_ns(bundle, key)
        if since_ns is not None and health.attempts(found, since_ns):
            return None
    return "no order was delivered again, in a calm moment, after it had been shipped"


def fault_spans(faults: Iterable[FaultRecord]) -> list[Span]:
    """From the first act of each fault to its end; one that never ended lasts forever."""
    records: dict[str, list[FaultRecord]] = defaultdict(list)
    for record in faults:
        records[record.fault_id].append(record)
    spans = []
    for own in records.values():
        acts = [record.at_ns for record in own if record.stage in ACTS]
        ends = [record.at_ns for record in own if record.stage in ENDS]
        if acts:
            spans.append((min(acts), max(ends, default=FOREVER_NS)))
    return spans


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time, in order and without overlaps."""
    found: list[Span] = []
    for begin_ns, end_ns in sorted(spans):
        if found and begin_ns <= found[-1][1]:
            found[-1] = (found[-1][0], max(end_ns, found[-1][1]))
        else:
            found.append((begin_ns, end_ns))
    return tuple(found)


def settled_ns(bundle: Bundle, key: OrderKey) -> int | None:
    """When the order was first shipped; None: never, or nobody can say of which shop it was."""
    return min(bundle.effects.get(key, {}).values(), default=None)


def copies(deliveries: Iterable[Delivery]) -> list[list[Delivery]]:
    """The attempts of each copy: the sender repeats every copy by itself, maybe under new ids."""
    found: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        found[delivery.intent.copy].append(delivery)
    return list(found.values())


def given_up(
    bundle: Bundle, health: Health, deliveries: Sequence[Delivery], since_ns: int = 0
) -> list[Delivery]:
    """The calm attempts, since that time, of a copy that the sender gave up on; [] if none is."""
    for attempts in copies(deliveries):
        answered = all(
            one.completion is not None and one.outcome is not Outcome.OK for one in attempts
        )
        last = max(one.intent.attempt for one in attempts)
        calm = health.attempts(attempts, since_ns)
        if answered and last >= bundle.manifest.attempts and len(calm) >= CALM_ATTEMPTS_MIN:
            return calm
    return []


def answer(delivery: Delivery) -> str:
    """What a delivery got, in a few words."""
    status = status_of(delivery)
    if status is not None:
        return f"status {status}"
    return (delivery.completion and delivery.completion.error) or "no answer"
