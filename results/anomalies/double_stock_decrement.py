"""A8, double-stock-decrement: an order took more from the stock than it has, or the sums are off.

Two looks. Per order: more movement rows, or more units, of a sku than the order's own lines say.
Per sku: the units gone from the stock match neither the movements nor the paid orders; this finds
the decrement that leaves no row, as in `remaining = remaining - 1` retried after a lost answer.
The sums are left out where a paid order is not of this run's traffic: its lines are unknown.
Limit: movements count what was taken, as positive numbers.
"""

from collections import Counter
from collections.abc import Iterator

from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey, quantities
from results.records import OrderState
from results.verdict import Anomaly

CODE = "A8"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs movements, or stock beside the paid orders, in a ledger that has lost no line."""
    movements, stock = bundle.declares("movements"), bundle.declares("stock")
    if not movements and not (stock and bundle.declares("orders")):
        return "the service declares neither stock movements nor stock beside its orders"
    if bundle.damaged("ledger"):
        return "the ledger's file has lost a line, so its sums prove nothing"
    if not bundle.ledger.snapshots:
        return "no snapshot of the ledger was taken"
    return None


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that moved too much, then one for each sku whose sum is off."""
    if bundle.declares("movements"):
        yield from _orders(bundle)
    if bundle.declares("stock"):
        yield from _stock(bundle)


def _orders(bundle: Bundle) -> Iterator[Anomaly]:
    for key, lines in bundle.history.lines.items():
        rows_owed = Counter(line.sku for line in lines)
        units_owed = quantities(lines)
        for stretch in bundle.ledger.stretches(key):
            rows = Counter(line.sku for line in stretch.state.movements)
            units = quantities(stretch.state.movements)
            over = [
                f"{rows[sku]} movements of {sku} ({units[sku]} units, {units_owed[sku]} ordered)"
                for sku in sorted(rows)
                if rows[sku] > rows_owed[sku] or units[sku] > units_owed[sku]
            ]
            if over:
                begun_ns = bundle.ledger.snapshots[stretch.first].begun_ns
                yield anomaly(CODE, key, f"Order {key[1]} has {', '.join(over)}.", begun_ns)
                break


def _stock(bundle: Bundle) -> Iterator[Anomaly]:
    """Fold the deltas once, keeping the sums of the moment."""
    now: dict[OrderKey, OrderState] = {}
    moved: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    strangers = 0  # paid orders whose lines nobody here knows
    reported: set[str] = set()
    lines = bundle.history.lines
    for snapshot in bundle.ledger.snapshots:
        for state in snapshot.orders:
            key = (state.shop, state.order_id)
            for sign, which in ((-1, now.get(key)), (1, state)):
                if which is None:
                    continue
                for line in which.movements:
                    moved[line.sku] += sign * line.quantity
                if which.status == "paid":
                    strangers += sign * (key not in lines)
                    for line in lines.get(key, ()):
                        paid[line.sku] += sign * line.quantity
            now[key] = state
        for level in snapshot.stock:
            gone = level.initial - level.remaining
            sums = {}
            if bundle.declares("movements"):
                sums["the movements say"] = moved[level.sku]
            if bundle.declares("orders") and not strangers:
                sums["the paid orders say"] = paid[level.sku]
            if sums and gone not in sums.values() and level.sku not in reported:
                reported.add(level.sku)
                said = ", ".join(f"{words} {units}" for words, units in sums.items())
                message = f"{gone} units of {level.sku} are gone from the stock, but {said}."
                yield anomaly(CODE, ("", 0), message, snapshot.begun_ns)
