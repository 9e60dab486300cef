"""A plain checker, written apart from the real one and straight from the definition.

It folds nothing and indexes nothing: for each snapshot it rebuilds the whole ledger and asks each
sentence of the definition of each order. Slow, and simple enough to be believed. It knows only
the record shapes.
"""

from typing import Any

Found = set[tuple[str, int]]


def oracle(manifest: Any, intents: Any, completions: Any, calls: Any, snapshots: Any) -> Found:
    """Pairs of code and order id (0: the stock)."""
    found: Found = set()
    paid = [i for i in intents if i.topic == "orders/paid" and i.authentic]
    lines_of = {(i.shop, i.order_id): i.lines for i in paid}
    oks: dict[Any, list[int]] = {}
    for intent in paid:
        for completion in completions:
            if completion.attempt_id == intent.attempt_id and completion.outcome == "ok":
                oks.setdefault((intent.shop, intent.order_id), []).append(completion.done_ns)

    # S1: at most one effect per order.  V1: every ok order has one.
    shipped: dict[Any, dict[str, int]] = {}
    for call in calls:
        if call.effect_id:
            shipped.setdefault((call.shop, call.order_id), {})[call.effect_id] = call.at_ns
    found |= {("A1", order[1]) for order, effects in shipped.items() if len(effects) >= 2}
    found |= {("A2", order[1]) for order in oks if order not in shipped}

    declared = set(manifest.ledger_queries)
    for number, snapshot in enumerate(snapshots):
        rows: dict[Any, Any] = {}
        for earlier in snapshots[: number + 1]:
            for state in earlier.orders:
                rows[(state.shop, state.order_id)] = state
        for order, lines in lines_of.items():
            acked = any(t <= snapshot.begun_ns for t in oks.get(order, []))
            effect = any(t <= snapshot.ended_ns for t in shipped.get(order, {}).values())
            found |= of_order(declared, order[1], lines, rows.get(order), acked, effect)
        if "stock" in declared:
            found |= of_stock(declared, snapshot, rows, lines_of)
    return found


def of_order(
    declared: set[str], order: int, lines: Any, state: Any, acked: bool, effect: bool
) -> Found:
    """What one order violates in one snapshot."""
    found: Found = set()
    is_paid = bool(state) and state.status == "paid"
    fulfilled = bool(state) and len(state.fulfillments) > 0
    moved = list(state.movements) if state else []
    logged = bool(state) and len(state.webhook_ids) > 0

    # S4: an ok at t is durable in every snapshot taken at or after t.
    if acked and "orders" in declared and not is_paid:
        found.add(("A3", order))
    if acked and "fulfillments" in declared and not fulfilled and not effect:
        found.add(("A3", order))

    # S5: paid, fulfillment, movement and log are all there or none is.
    parts = {
        "orders": is_paid,
        "fulfillments": fulfilled,
        "movements": bool(moved),
        "webhook_log": logged,
    }
    if len({parts[name] for name in parts if name in declared}) == 2:
        found.add(("A5", order))

    # A8: more rows, or more units, of a sku than the order says once.
    for sku in {line.sku for line in moved} if "movements" in declared else ():
        took = [line.quantity for line in moved if line.sku == sku]
        owed = [line.quantity for line in lines if line.sku == sku]
        if len(took) > len(owed) or sum(took) > sum(owed):
            found.add(("A8", order))
    return found


def of_stock(declared: set[str], snapshot: Any, rows: Any, lines_of: Any) -> Found:
    """S6: what is gone from the stock is accounted for, by the movements or the paid orders."""
    paid = [order for order, state in rows.items() if state.status == "paid"]
    moves = [line for state in rows.values() for line in state.movements]
    for level in snapshot.stock:
        totals = []
        if "movements" in declared:
            totals.append(sum(line.quantity for line in moves if line.sku == level.sku))
        if "orders" in declared and all(order in lines_of for order in paid):
            sold = [line for order in paid for line in lines_of[order]]
            totals.append(sum(line.quantity for line in sold if line.sku == level.sku))
        if totals and all(level.initial - level.remaining != total for total in totals):
            return {("A8", 0)}
    return set()
