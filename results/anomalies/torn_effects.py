"""A5, torn-effects: one snapshot holds a part of an order's work, but not all of it.

In a REPEATABLE READ snapshot the paid order, its fulfillment, its stock movement and its webhook
log must all be there, or none. Only what the service declares in its ledger is compared, and only
whether all of it is there: too much of something is another anomaly. Orders that the traffic did
not name are left alone, a database may hold older ones; so are those that may have been cancelled,
from then on. A log entry counts if its id is that of an orders/paid: a service may log other topics
too, and one that stores ids in a form of its own is not compared by its log.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import PAID, OrderKey, quantities
from results.records import OrderState
from results.verdict import Anomaly

CODE = "A5"
PARTS = ("orders", "fulfillments", "movements", "webhook_log")
WORDS = {
    "orders": "the order as paid",
    "fulfillments": "a fulfillment",
    "movements": "a stock movement",
    "webhook_log": "a webhook log entry",
}


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs two parts to compare, in a ledger that has lost no line."""
    if sum(bundle.declares(part) for part in PARTS) < 2:
        return f"fewer than two of {', '.join(PARTS)} are declared in the ledger"
    return needs.first(needs.snapshots(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order, at the first snapshot in which its parts disagree."""
    for key in bundle.history.by_order:
        cancelled_ns = bundle.history.cancelled_ns(key)
        for stretch in bundle.ledger.stretches(key):
            snapshot = bundle.ledger.snapshots[stretch.first]
            if cancelled_ns is not None and snapshot.ended_ns >= cancelled_ns:
                break
            there = _parts(bundle, key, stretch.state)
            declared = [part for part in there if bundle.declares(part)]
            has = [WORDS[part] for part in declared if there[part]]
            lacks = [WORDS[part] for part in declared if not there[part]]
            lacks += _unmoved(bundle, key, stretch.state)
            if has and lacks:
                seen = stretch.end - stretch.first
                yield anomaly(
                    CODE,
                    key,
                    f"For order {key[1]} {seen} snapshot{'s' if seen > 1 else ''} in a row showed "
                    f"{' and '.join(has)}, but not {' nor '.join(lacks)}.",
                    snapshot.begun_ns,
                )
                break


def _unmoved(bundle: Bundle, key: OrderKey, state: OrderState) -> list[str]:
    """Lines of the order that did not move while others did, of skus that the ledger stocks."""
    if not bundle.declares("movements") or not state.movements:
        return []
    moved = quantities(state.movements)
    stocked = {level.sku for level in bundle.ledger.snapshots[0].stock}
    owed = quantities(bundle.history.lines[key])
    return [
        f"{owed[sku] - moved[sku]} units of {sku}"
        for sku in sorted(owed)
        if sku in stocked and moved[sku] < owed[sku]
    ]


def _parts(bundle: Bundle, key: OrderKey, state: OrderState) -> dict[str, bool]:
    """Which parts are there; the log is left out when nobody knows whose entries it has."""
    parts = {
        "orders": state.status == "paid",
        "fulfillments": bool(state.fulfillments),
        "movements": bool(state.movements),
    }
    topics = bundle.history.topics[key]
    logged = [topics.get(webhook_id) for webhook_id in state.webhook_ids]
    if PAID in logged or None not in logged:
        parts["webhook_log"] = PAID in logged
    return parts
