"""A5, torn-effects: one snapshot holds a part of an order's work, but not all of it.

In a REPEATABLE READ snapshot the paid order, its fulfillment, its stock movement and its webhook
log must all be there, or none. Only what the service declares in its ledger is compared, and only
whether it is there: two of something is another anomaly. Orders that the traffic did not name
are left alone, a database may hold older ones.
"""

from collections.abc import Iterator

from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
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
    if bundle.damaged("ledger"):
        return "the ledger's file has lost a line, so what it lacks proves nothing"
    if not bundle.ledger.snapshots:
        return "no snapshot of the ledger was taken"
    return None


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order, at the first snapshot in which its parts disagree."""
    for key in bundle.history.by_order:
        for stretch in bundle.ledger.stretches(key):
            there = _parts(stretch.state)
            declared = [part for part in PARTS if bundle.declares(part)]
            has = [WORDS[part] for part in declared if there[part]]
            lacks = [WORDS[part] for part in declared if not there[part]]
            if has and lacks:
                seen = stretch.end - stretch.first
                yield anomaly(
                    CODE,
                    key,
                    f"For order {key[1]} {seen} snapshot{'s' if seen > 1 else ''} in a row showed "
                    f"{' and '.join(has)}, but not {' nor '.join(lacks)}.",
                    bundle.ledger.snapshots[stretch.first].begun_ns,
                )
                break


def _parts(state: OrderState) -> dict[str, bool]:
    return {
        "orders": state.status == "paid",
        "fulfillments": bool(state.fulfillments),
        "movements": bool(state.movements),
        "webhook_log": bool(state.webhook_ids),
    }
