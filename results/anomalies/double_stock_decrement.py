"""A8, double-stock-decrement: an order took more from the stock than it has, or the sums are off.

Two looks. Per order: more movement rows, or more units, of a sku than the order's own lines say.
Per sku: the units gone from the stock match neither the movements nor the paid orders; this finds
the decrement that leaves no row, as in `remaining = remaining - 1` retried after a lost answer.
The sums are left out where a paid order is not of this run's traffic: its lines are unknown.
A cancelled order may have been taken back or not, with a negative movement or without one.
Limit: movements count what was taken, as positive numbers.
"""

from collections import Counter
from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import quantities
from results.verdict import Anomaly

CODE = "A8"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs movements, or stock beside the paid orders, in a ledger that has lost no line."""
    movements, stock = bundle.declares("movements"), bundle.declares("stock")
    if not movements and not (stock and bundle.declares("orders")):
        return "the service declares neither stock movements nor stock beside its orders"
    return needs.first(needs.snapshots(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that moved too much, then one for each sku whose sum is off."""
    if bundle.declares("movements"):
        yield from _orders(bundle)
    if bundle.declares("stock"):
        yield from _stock(bundle)


def _orders(bundle: Bundle) -> Iterator[Anomaly]:
    for key, lines in bundle.history.lines.items():
        if not lines:
            continue  # the sender did not say what is in it, or not always the same
        rows_owed = Counter(line.sku for line in lines)
        units_owed = quantities(lines)
        for stretch in bundle.ledger.stretches(key):
            rows = Counter(line.sku for line in stretch.state.movements if line.quantity > 0)
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
    """Compare each snapshot's stock with the sums of its moment."""
    reported: set[str] = set()
    for snapshot, sums in zip(bundle.ledger.snapshots, bundle.sums(), strict=True):
        for level in snapshot.stock:
            gone = level.initial - level.remaining
            said, fits = [], False
            if bundle.declares("movements"):
                said.append(f"the movements say {sums.moved[level.sku]}")
                fits = gone == sums.moved[level.sku]
            if bundle.declares("orders") and not sums.strangers:
                paid, either = sums.paid[level.sku], sums.either[level.sku]
                said.append(f"the paid orders say {paid}")
                fits = fits or paid <= gone <= paid + either
            if said and not fits and level.sku not in reported:
                reported.add(level.sku)
                message = (
                    f"{gone} units of {level.sku} are gone from the stock, but {', '.join(said)}."
                )
                yield anomaly(CODE, ("", 0), message, snapshot.begun_ns)
