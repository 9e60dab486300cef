"""A11, payload-swap: a shipment, or a log entry, that belongs to another order.

Either the shipment's units per sku are those of none of the order's own authentic orders/paid; or
the ledger's log has a webhook id under an order for which it was never sent. A provider that is
told no lines, and a history that holds none, leave the first look out.
"""

from collections import Counter
from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey, quantities
from results.verdict import Anomaly

CODE = "A11"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs all that was sent, and shipments with lines or a webhook log."""
    shipped = any(call.lines for calls in bundle.shipments.values() for call in calls.values())
    log_missing = needs.webhook_log(bundle)
    if log_missing and not shipped:
        return f"no shipment has lines, and {log_missing}"
    return needs.whole_history(bundle)


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order whose shipment or whose webhook went astray."""
    astray: dict[OrderKey, Anomaly] = {}
    for found in (*_shipments(bundle), *_entries(bundle)):
        astray.setdefault((found.shop, found.order_id), found)
    yield from astray.values()


def _shipments(bundle: Bundle) -> Iterator[Anomaly]:
    told = any(call.lines for calls in bundle.shipments.values() for call in calls.values())
    for key, deliveries in bundle.history.by_order.items():
        own = [quantities(one.intent.lines) for one in deliveries if one.intent.lines]
        for call in bundle.shipments.get(key, {}).values():
            units = quantities(call.lines)
            if own and told and units not in own:
                shipped = _told(units) or "nothing"
                message = f"Order {key[1]} has {_told(own[0])}, and {shipped} was shipped."
                yield anomaly(CODE, key, message, call.at_ns)


def _entries(bundle: Bundle) -> Iterator[Anomaly]:
    if not bundle.declares("webhook_log"):
        return
    for key, states in bundle.ledger.changes.items():
        for index, state in states:
            for webhook_id in state.webhook_ids:
                owners = bundle.naming.webhooks.get(webhook_id)
                if owners and key not in owners:
                    owner = min(owners)
                    yield anomaly(
                        CODE,
                        owner,
                        f"Webhook {webhook_id} was sent for order {owner[1]} of {owner[0]}, and "
                        f"is in the log under order {key[1]} of {key[0]}.",
                        bundle.ledger.snapshots[index].begun_ns,
                    )


def _told(units: Counter[str]) -> str:
    """`2 ONCE-001 and 1 ONCE-002`."""
    return " and ".join(f"{units[sku]} {sku}" for sku in sorted(units))
