"""A10, out-of-order: a cancelled order came back to life.

Either the cancellation was acknowledged before the first byte of the first orders/paid, and the
order was shipped all the same; or the ledger shows it as cancelled in one snapshot and as paid in
a later one. A cancellation that came while a payment was on its way may lose the race for the
shipment, so only the ledger speaks there.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey, acknowledged_ns, begun_ns
from results.verdict import Anomaly

CODE = "A10"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs a cancellation that took effect, and the witness or the orders of the ledger."""
    found = bundle.history.cancellations
    if all(acknowledged_ns(own) is None and not _seen(bundle, key) for key, own in found.items()):
        return "no orders/cancelled took effect"
    if needs.witness(bundle) and not (bundle.declares("orders") and bundle.ledger.snapshots):
        return "neither a witness nor the orders of a ledger show what became of them"
    if bundle.damaged("ledger"):
        return needs.snapshots(bundle)
    return needs.whole_history(bundle)


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each cancelled order that was shipped or paid afterwards."""
    for key, cancellations in bundle.history.cancellations.items():
        paid_ns = min(map(begun_ns, bundle.history.by_order.get(key, ())), default=None)
        acked_ns = acknowledged_ns(cancellations)
        if acked_ns is not None and paid_ns is not None and acked_ns < paid_ns:
            late = [at_ns for at_ns in bundle.effects.get(key, {}).values() if at_ns > acked_ns]
            if late:
                after_ms = (min(late) - acked_ns) / 1e6
                yield anomaly(
                    CODE,
                    key,
                    f"Order {key[1]} was shipped {after_ms:.1f} ms after its cancellation was "
                    "acknowledged; its orders/paid had not even begun then.",
                    min(late),
                )
                continue
        states = bundle.ledger.changes.get(key, ())
        cancelled = [index for index, state in states if state.status == "cancelled"]
        back = [index for index, state in states if state.status == "paid"]
        if cancelled and back and cancelled[0] < back[-1]:
            snapshot = bundle.ledger.snapshots[back[-1]]
            yield anomaly(
                CODE,
                key,
                f"Order {key[1]} was cancelled in one snapshot of the ledger and paid in a later "
                "one.",
                snapshot.begun_ns,
            )


def _seen(bundle: Bundle, key: OrderKey) -> bool:
    """Whether the ledger ever showed the order as cancelled."""
    return any(state.status == "cancelled" for _, state in bundle.ledger.changes.get(key, ()))
