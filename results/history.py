"""What the sender did and saw: intents joined with their completions, and grouped by order.

The sender is the ground truth for what was promised. Only `orders/paid` deliveries that were
authentic count as promises: an acknowledged `orders/create` promises no shipment, and a forged
delivery must not ship at all. An `orders/cancelled` ends what was owed. An intent without a
completion reads as `info`.

An order is known by its shop and its id, a group of duplicates by its order and its name: two
shops may share an order id, and with it whatever is made from the id alone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from results.records import Completion, Delivery, GeneratorEnd, Intent, Line, Outcome

OrderKey = tuple[str, int]
Deliveries = tuple[Delivery, ...]
PAID, CANCELLED, FORGED = "orders/paid", "orders/cancelled", "forged"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All deliveries, in the order in which they were intended.

    `contradictions` are sentences about records that cannot both be true (an attempt id used
    twice, a completion that nobody intended): they put the recorder itself in doubt.
    """

    deliveries: Deliveries
    by_order: dict[OrderKey, Deliveries]  # authentic and paid only
    cancellations: dict[OrderKey, Deliveries]  # authentic
    forged: dict[OrderKey, Deliveries]  # of any topic
    topics: dict[OrderKey, dict[str, str]]  # by webhook id; that of a forged one is FORGED
    lines: dict[OrderKey, tuple[Line, ...]]  # () where its payments do not all say the same
    planned_orders: int
    sent_orders: int
    shed_orders: int
    contradictions: tuple[str, ...]

    @classmethod
    def join(
        cls,
        intents: Iterable[Intent],
        completions: Iterable[Completion],
        ends: Iterable[GeneratorEnd],
    ) -> "History":
        """Join by attempt id. The first of two records with one id is kept, and reported."""
        contradictions: list[str] = []
        answers: dict[str, Completion] = {}
        for completion in completions:
            if answers.setdefault(completion.attempt_id, completion) is not completion:
                contradictions.append(f"Attempt {completion.attempt_id} was completed twice.")
        intended: dict[str, Intent] = {}
        for intent in intents:
            if intended.setdefault(intent.attempt_id, intent) is not intent:
                contradictions.append(f"Attempt id {intent.attempt_id} was used twice.")
        contradictions.extend(
            f"Attempt {attempt} was completed but never intended."
            for attempt in answers.keys() - intended.keys()
        )
        deliveries = sorted(
            (Delivery(intent=one, completion=answers.get(one.attempt_id))
             for one in intended.values()),
            key=lambda delivery: delivery.intent.intended_ns,
        )  # fmt: skip
        authentic = [delivery for delivery in deliveries if delivery.intent.authentic]
        by_order = _by_order(one for one in authentic if one.intent.topic == PAID)
        totals = list(ends)
        return cls(
            deliveries=tuple(deliveries),
            by_order=by_order,
            cancellations=_by_order(one for one in authentic if one.intent.topic == CANCELLED),
            forged=_by_order(one for one in deliveries if not one.intent.authentic),
            topics=_topics(deliveries),
            lines={key: _agreed(found) for key, found in by_order.items()},
            planned_orders=sum(end.planned_orders for end in totals),
            sent_orders=sum(end.sent_orders for end in totals),
            shed_orders=sum(end.shed_orders for end in totals),
            contradictions=tuple(contradictions),
        )

    def first_ok_ns(self, key: OrderKey) -> int | None:
        """When the sender first had an `ok` for this order's payment; None: never."""
        return acknowledged_ns(self.by_order.get(key, ()))

    def cancelled_ns(self, key: OrderKey) -> int | None:
        """From when on the order may be cancelled, so that nothing is owed; None: it is not."""
        return min(
            (
                begun_ns(delivery)
                for delivery in self.cancellations.get(key, ())
                if delivery.outcome is not Outcome.FAIL
            ),
            default=None,
        )

    def unresolved(self) -> list[OrderKey]:
        """Orders without any `ok`: nobody was promised anything, and nobody knows."""
        return [
            key
            for key, found in self.by_order.items()
            if all(delivery.outcome is not Outcome.OK for delivery in found)
        ]

    def groups(self) -> dict[tuple[OrderKey, str], Deliveries]:
        """First attempts of paid deliveries released together: groups of two copies or more."""
        groups: dict[tuple[OrderKey, str], list[Delivery]] = defaultdict(list)
        for key, found in self.by_order.items():
            for delivery in found:
                if delivery.intent.group_id and delivery.intent.attempt == 1:
                    groups[key, delivery.intent.group_id].append(delivery)
        return {
            group: tuple(found)
            for group, found in groups.items()
            if len({delivery.intent.copy for delivery in found}) > 1
        }


def _by_order(deliveries: Iterable[Delivery]) -> dict[OrderKey, Deliveries]:
    found: dict[OrderKey, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        found[order_key(delivery)].append(delivery)
    return {key: tuple(own) for key, own in found.items()}


def _agreed(deliveries: Deliveries) -> tuple[Line, ...]:
    """What an order contains, if all that was sent of it says so; else nobody knows."""
    said = {delivery.intent.lines for delivery in deliveries}
    return said.pop() if len(said) == 1 else ()


def _topics(deliveries: Iterable[Delivery]) -> dict[OrderKey, dict[str, str]]:
    """An id that was used twice for one order stands for its authentic payment, if for any."""
    found: dict[OrderKey, dict[str, str]] = defaultdict(dict)
    for delivery in deliveries:
        intent = delivery.intent
        topics = found[order_key(delivery)]
        if topics.get(intent.webhook_id) != PAID:
            topics[intent.webhook_id] = intent.topic if intent.authentic else FORGED
    return dict(found)


def order_key(delivery: Delivery) -> OrderKey:
    """An order is known by its shop and its id: two shops may share an id."""
    return delivery.intent.shop, delivery.intent.order_id


def acknowledged_ns(deliveries: Iterable[Delivery]) -> int | None:
    """When the sender had the first `ok` to one of them; None: never."""
    return min(
        (
            delivery.completion.done_ns
            for delivery in deliveries
            if delivery.completion and delivery.outcome is Outcome.OK
        ),
        default=None,
    )


def status_of(delivery: Delivery) -> int | None:
    """The status of its answer; None when there was none."""
    return delivery.completion.status if delivery.completion else None


def begun_ns(delivery: Delivery) -> int:
    """The earliest moment at which a delivery can have been on its way."""
    intended_ns = delivery.intent.intended_ns
    sent_ns = delivery.completion.sent_ns if delivery.completion else None
    return intended_ns if sent_ns is None else min(sent_ns, intended_ns)


def quantities(lines: Iterable[Line]) -> Counter[str]:
    """Units per sku."""
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
