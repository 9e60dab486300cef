"""A2, lost-acked-payment: the sender was told "done", and nothing was ever shipped.

Judged only after the end: faults healed, retries over, the last look taken. Before that a
shipment may simply still be on its way, so a run that was cut short says nothing here.
"""

from collections.abc import Iterator

from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.records import Outcome
from results.verdict import Anomaly

CODE = "A2"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs a whole witness file and a run that came to its end."""
    if not bundle.manifest.has_witness or not bundle.has_witness_file:
        return "no witness recorded what was shipped"
    if bundle.damaged("witness"):
        return "the witness's file has lost a line, so a missing shipment proves nothing"
    if not bundle.completed:
        return "the run was cut short, so a shipment may still have been on its way"
    if bundle.manifest.controller_lost:
        return f"a part of the harness was lost: {bundle.manifest.controller_lost}"
    return None


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order with an `ok` and without any effect."""
    for key, deliveries in bundle.history.by_order.items():
        first_ok_ns = bundle.history.first_ok_ns(key)
        if first_ok_ns is None or bundle.effects.get(key):
            continue
        acked = sum(delivery.outcome is Outcome.OK for delivery in deliveries)
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was acknowledged {acked} time{'s' if acked > 1 else ''} out of "
            f"{len(deliveries)} and shipped 0 times.",
            first_ok_ns,
        )
