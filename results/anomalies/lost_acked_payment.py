"""A2, lost-acked-payment: the sender was told "done", and nothing was ever shipped.

Judged only after the end: faults healed, retries over, the last look taken. Before that a
shipment may simply still be on its way, so a run that was cut short says nothing here. An order
that may have been cancelled is owed nothing. Where two shops share an order id and the service
names no shop to its provider, as many of them as there are such shipments have theirs.
"""

from collections import Counter
from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.records import Outcome
from results.verdict import Anomaly

CODE = "A2"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs a whole witness file and a run that came to its end."""
    return needs.first(needs.whole_witness(bundle), needs.ended(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order with an `ok` and without any effect."""
    owing: Counter[int] = Counter()  # orders under one id, for shipments that name no shop
    for key, deliveries in bundle.history.by_order.items():
        first_ok_ns = bundle.history.first_ok_ns(key)
        if first_ok_ns is None or bundle.effects.get(key):
            continue
        if bundle.history.cancelled_ns(key) is not None:
            continue
        owing[key[1]] += 1
        if owing[key[1]] <= len(bundle.shipped(key)):
            continue
        acked = sum(delivery.outcome is Outcome.OK for delivery in deliveries)
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was acknowledged {acked} time{'s' if acked > 1 else ''} out of "
            f"{len(deliveries)} and shipped 0 times.",
            first_ok_ns,
        )
