"""A4, phantom-shipment: something was shipped that no delivery can have asked for.

Before the first shipment of the order no authentic orders/paid of it can have been on its way, on
the one monotonic clock that sender and witness share. An orders/create asks for no shipment. What
came after forged deliveries is A15, what came after refused ones is A12; an order that the ledger
held before there was any traffic is not this run's, and its shipment is a doubt, not an anomaly.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.causes import Cause, cause
from results.history import begun_ns
from results.verdict import Anomaly

CODE = "A4"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness, and all that was sent."""
    return needs.first(needs.witness(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order whose first shipment has no cause."""
    for key, effects in bundle.effects.items():
        at_ns = min(effects.values())
        if cause(bundle, key, at_ns) is not Cause.NOTHING:
            continue
        paid = [begun_ns(one) for own in bundle.sharing(key)
                for one in bundle.history.by_order.get(own, ())]  # fmt: skip
        early_ms = (min(paid) - at_ns) / 1e6 if paid else None
        since = (
            "none was ever sent" if early_ms is None else f"the first came {early_ms:.1f} ms later"
        )
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was shipped without an orders/paid before it: {since}.",
            at_ns,
        )
