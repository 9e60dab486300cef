"""The oracle's sentences on the line items of one order: what it says, and what moved for it."""

from typing import Any


def moved_too_little(run: Any, state: Any, own: Any) -> bool:
    """S5, line by line: of what the ledger stocks, all of an order moved or nothing."""
    if not state or not state.movements or not own:
        return False
    moved, owed = totals(state.movements), totals(agreed(own))
    stocked = {level.sku for level in run.snapshots[0].stock}
    return any(moved.get(sku, 0) < owed[sku] for sku in stocked & set(owed))


def agreed(own: Any) -> Any:
    return own[0].lines if all(one.lines == own[0].lines for one in own) else ()


def totals(lines: Any) -> dict[str, int]:
    return {sku: sum(line.quantity for line in lines if line.sku == sku)
            for sku in {line.sku for line in lines}}  # fmt: skip


def moved_too_much(state: Any, own: Any) -> bool:
    """A8: more rows, or more units, of a sku than the order says once."""
    lines = agreed(own)
    moved = list(state.movements) if state else []
    for sku in {line.sku for line in moved} if lines else ():
        took = [line.quantity for line in moved if line.sku == sku]
        owed = [line.quantity for line in lines if line.sku == sku]
        if len([units for units in took if units > 0]) > len(owed) or sum(took) > sum(owed):
            return True
    return False
