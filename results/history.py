"""What the sender did and saw: intents joined with their completions, and grouped by order.

The sender is the ground truth for what was promised. Only `orders/paid` deliveries that were
authentic count as promises: an acknowledged `orders/create` promises no shipment, and a forged
delivery must not ship at all. An intent without a completion reads as `info`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from results.records import Completion, Delivery, GeneratorEnd, Intent, Line, Outcome

OrderKey = tuple[str, int]
PAID = "orders/paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All deliveries, in the order in which they were intended.

    `contradictions` are sentences about records that cannot both be true (an attempt id used
    twice, a completion that nobody intended): they put the recorder itself in doubt.
    """

    deliveries: tuple[Delivery, ...]
    by_order: dict[OrderKey, tuple[Delivery, ...]]  # authentic and paid only
    lines: dict[OrderKey, tuple[Line, ...]]
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
        by_order: dict[OrderKey, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            if delivery.intent.authentic and delivery.intent.topic == PAID:
                by_order[order_key(delivery)].append(delivery)
        totals = list(ends)
        return cls(
            deliveries=tuple(deliveries),
            by_order={key: tuple(found) for key, found in by_order.items()},
            lines={key: found[0].intent.lines for key, found in by_order.items()},
            planned_orders=sum(end.planned_orders for end in totals),
            sent_orders=sum(end.sent_orders for end in totals),
            shed_orders=sum(end.shed_orders for end in totals),
            contradictions=tuple(contradictions),
        )

    def first_ok_ns(self, key: OrderKey) -> int | None:
        """When the sender first had an `ok` for this order's payment; None: never."""
        return min(
            (
                delivery.completion.done_ns
                for delivery in self.by_order.get(key, ())
                if delivery.completion and delivery.outcome is Outcome.OK
            ),
            default=None,
        )

    def unresolved(self) -> list[OrderKey]:
        """Orders without any `ok` but with an `info`: they may or may not have shipped."""
        return [
            key
            for key, found in self.by_order.items()
            if {Outcome.INFO} <= {delivery.outcome for delivery in found} <= {
                Outcome.INFO, Outcome.FAIL
            }
        ]  # fmt: skip

    def refused(self, key: OrderKey) -> bool:
        """True when no authentic paid delivery of this order can have had any effect."""
        return all(delivery.outcome is Outcome.FAIL for delivery in self.by_order.get(key, ()))

    def groups(self) -> dict[str, tuple[Delivery, ...]]:
        """First attempts of paid deliveries released together: groups of two copies or more."""
        groups: dict[str, list[Delivery]] = defaultdict(list)
        for found in self.by_order.values():
            for delivery in found:
                if delivery.intent.group_id and delivery.intent.attempt == 1:
                    groups[delivery.intent.group_id].append(delivery)
        return {
            group: tuple(found)
            for group, found in groups.items()
            if len({delivery.intent.copy for delivery in found}) > 1
        }


def order_key(delivery: Delivery) -> OrderKey:
    """An order is known by its shop and its id: two shops may share an id."""
    return delivery.intent.shop, delivery.intent.order_id


def quantities(lines: Iterable[Line]) -> Counter[str]:
    """Units per sku."""
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
