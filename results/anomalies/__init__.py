"""One file per anomaly: a predicate over a bundle, and the reason why it cannot be judged.

Each module has `CODE`, `cannot_judge(bundle)` (a sentence, or None when the inputs are there) and
`find(bundle)`, which yields at most one anomaly an order. The names, the fixes and what implies
what are in `catalogue`. To add one, write its file and list it in `JUDGES`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from results.anomalies import (
    cross_order_contamination,
    dedupe_poisoning,
    double_stock_decrement,
    duplicate_shipment,
    false_reject,
    ghost_effect,
    lost_acked_payment,
    out_of_order,
    payload_swap,
    phantom_shipment,
    premature_duplicate_ack,
    retry_amplification,
    stuck_order,
    torn_effects,
    unauthenticated_effect,
    zombie_write,
)
from results.bundle import Bundle
from results.verdict import Anomaly


@dataclass(frozen=True, slots=True)
class Judge:
    """The two questions that one anomaly's file answers."""

    code: str
    cannot_judge: Callable[[Bundle], str | None]
    find: Callable[[Bundle], Iterator[Anomaly]]


JUDGES = tuple(
    Judge(module.CODE, module.cannot_judge, module.find)
    for module in (
        duplicate_shipment,
        lost_acked_payment,
        premature_duplicate_ack,
        phantom_shipment,
        torn_effects,
        stuck_order,
        false_reject,
        double_stock_decrement,
        dedupe_poisoning,
        out_of_order,
        payload_swap,
        ghost_effect,
        zombie_write,
        cross_order_contamination,
        unauthenticated_effect,
        retry_amplification,
    )
)
