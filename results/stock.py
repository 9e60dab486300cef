"""What the orders of a ledger took from the stock, summed up at every snapshot.

Conservation is judged per sku and not per order (`anomalies/double_stock_decrement`), so it needs
all orders at once. A ledger holds changes only; they are folded once, keeping the sums of the
moment: what an order's new state adds, the state that it replaces is taken away from.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from results.history import History, OrderKey
from results.ledger import Ledger
from results.records import OrderState


@dataclass(slots=True)
class Sums:
    """Units per sku in the ledger of one moment."""

    moved: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    either: Counter[str] = field(default_factory=Counter)  # of cancelled orders: given back or not
    strangers: int = 0  # paid orders whose lines nobody here knows

    def add(self, history: History, state: OrderState, sign: int) -> None:
        """Count a state, or with -1 what it replaces."""
        key = (state.shop, state.order_id)
        lines = history.lines.get(key, ())
        for line in state.movements:
            self.moved[line.sku] += sign * line.quantity
        if state.status == "paid":
            self.strangers += sign * (not lines)
            units = self.paid
        elif state.status != "pending" and history.cancelled_ns(key) is not None:
            units = self.either
        else:
            return
        for line in lines:
            units[line.sku] += sign * line.quantity


def sums_by_snapshot(history: History, ledger: Ledger) -> Iterator[Sums]:
    """The sums at each snapshot: the same object, changed from one to the next."""
    now: dict[OrderKey, OrderState] = {}
    sums = Sums()
    for snapshot in ledger.snapshots:
        for state in snapshot.orders:
            key = (state.shop, state.order_id)
            if key in now:
                sums.add(history, now[key], -1)
            sums.add(history, state, 1)
            now[key] = state
        yield sums
