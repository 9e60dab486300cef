"""A14, cross-order-contamination: two orders in one transaction that neither of them knows of.

One connection is shared by several handlers: a second BEGIN arrives while the transaction of the
first is open, and Postgres only warns. Whoever commits then commits the other's half, whoever rolls
back takes the other's work away. Accused are the orders that flights of such a transaction name
alone. An honest batch has one BEGIN, a nested BEGIN of one order harms nobody else, and a relay
works on many orders by its nature.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey
from results.transactions import begins, is_behind
from results.verdict import Anomaly

CODE = "A14"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the wire's whole trace, and the orders behind its ids."""
    return needs.first(needs.whole_trace(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that shared a transaction with another one."""
    found: set[OrderKey] = set()
    for transaction in bundle.transactions:
        if is_behind(transaction.replica) or sum(map(begins, transaction.flights)) < 2:
            continue
        orders = bundle.naming.of_flights(transaction.flights)
        if len(orders) < 2:
            continue
        for key in sorted(orders - found):
            others = ", ".join(str(order_id) for _, order_id in sorted(orders - {key})[:3])
            found.add(key)
            yield anomaly(
                CODE,
                key,
                f"Order {key[1]} shared connection {transaction.connection} of "
                f"{transaction.replica}, and one open transaction, with order {others}.",
                transaction.begun_ns,
            )
