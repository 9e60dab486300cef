"""Which order a flight of the wire's trace names, told by the ids that it carries.

A webhook id was made by the sender for one order of one shop, so it decides. An order id names an
order only where one shop alone uses it; where two do, the trace cannot say whose it is, and the
flight names nobody. A transaction is about the orders that some flight of it names alone: a flight
with a whole payload in it carries other ids that look like an order's. A batch of several orders in
one statement is about none; that it handles them, their webhook ids tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results.history import History, OrderKey, order_key
from results.records import StatementTrace


@dataclass(frozen=True, slots=True)
class Naming:
    """What each id of the traffic stands for."""

    webhooks: dict[str, frozenset[OrderKey]]
    orders: dict[str, frozenset[OrderKey]]

    @classmethod
    def of(cls, history: History) -> "Naming":
        """All ids that the sender used, of every topic, forged ones too."""
        webhooks: dict[str, set[OrderKey]] = defaultdict(set)
        orders: dict[str, set[OrderKey]] = defaultdict(set)
        for delivery in history.deliveries:
            key = order_key(delivery)
            webhooks[delivery.intent.webhook_id].add(key)
            orders[str(key[1])].add(key)
        return cls(
            {name: frozenset(keys) for name, keys in webhooks.items()},
            {name: frozenset(keys) for name, keys in orders.items()},
        )

    def of_flight(self, flight: StatementTrace) -> frozenset[OrderKey]:
        """The orders that one flight names for certain."""
        nobody: frozenset[OrderKey] = frozenset()
        by_order = [self.orders[name] for name in flight.keys if name in self.orders]
        webhooks = nobody.union(*(self.webhooks.get(name, nobody) for name in flight.keys))
        if webhooks:
            # An id used for two orders is told apart by the order id beside it.
            return webhooks.intersection(nobody.union(*by_order)) or webhooks
        return nobody.union(*(keys for keys in by_order if len(keys) == 1))

    def of_flights(self, flights: Iterable[StatementTrace]) -> frozenset[OrderKey]:
        """The orders that a transaction of these flights is about."""
        named = (self.of_flight(flight) for flight in flights)
        return frozenset(key for keys in named if len(keys) == 1 for key in keys)

    def among(self, flights: Iterable[StatementTrace]) -> frozenset[OrderKey]:
        """All orders that these flights name, alone or beside others."""
        return frozenset().union(*map(self.of_flight, flights))

    def handled_in(self, flights: Sequence[StatementTrace]) -> frozenset[OrderKey]:
        """The orders that it is about, and those whose deliveries are in a batch of it."""
        return self.of_flights(flights) | self.among(filter(self.carries_webhook, flights))

    def shares_id(self, key: OrderKey) -> bool:
        """True if another shop uses its order id: then not all flights about it can name it."""
        return len(self.orders.get(str(key[1]), ())) > 1

    def carries_webhook(self, flight: StatementTrace) -> bool:
        """True when a flight writes or reads by a webhook id: the record of one delivery."""
        return any(name in self.webhooks for name in flight.keys)
