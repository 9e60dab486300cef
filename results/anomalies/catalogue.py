"""The sixteen anomalies: stable code, kebab-case name, and the usual way to mend a service.

`IMPLIES` is the declared table: when an order has the anomaly on the left, those on the right can
be its consequence and are marked as implied by it, so that a reader starts at the cause.
"""

from typing import NamedTuple

from results.history import OrderKey
from results.verdict import Anomaly


class Entry(NamedTuple):
    """What is known of a code without any run."""

    name: str
    fix: str


CATALOGUE: dict[str, Entry] = {
    "A1": Entry(
        "duplicate-shipment",
        "Let a unique key made from the order, not from the delivery or the row, decide who "
        "ships: INSERT … ON CONFLICT DO NOTHING, and pass that key to the provider.",
    ),
    "A2": Entry(
        "lost-acked-payment",
        "Answer 2xx only after the transaction that records the work has committed, and let a "
        "relay re-send what was recorded but never shipped.",
    ),
    "A3": Entry(
        "premature-duplicate-ack",
        "Do not answer a duplicate from a claim that has not committed yet: wait for the first "
        "one's transaction, or answer with an error so that it is delivered again.",
    ),
    "A4": Entry("phantom-shipment", "Check the signature before the first effect."),
    "A5": Entry(
        "torn-effects",
        "Write order, fulfillment, stock and log in one transaction on one connection, and "
        "create the order's row when it is absent instead of updating none.",
    ),
    "A6": Entry("stuck-order", "Give every claim a lease, and a sweeper that ends it."),
    "A7": Entry("false-reject", "Answer a delivery of a settled order with 2xx."),
    "A8": Entry(
        "double-stock-decrement",
        "Decrement stock only in the transaction that won the order's unique key, and make the "
        "movement's own key unique per order and sku.",
    ),
    "A9": Entry("dedupe-poisoning", "Record an id as done only where the work is committed."),
    "A10": Entry("out-of-order", "Guard each status change by the state it may come from."),
    "A11": Entry("payload-swap", "Key on the order, and compare what the key stands for."),
    "A12": Entry("ghost-effect", "Do not answer 4xx after an effect may have happened."),
    "A13": Entry("zombie-write", "Fence writes by a version that the successor raises."),
    "A14": Entry("cross-order-contamination", "One connection per transaction, never shared."),
    "A15": Entry("unauthenticated-effect", "Verify the raw body first; answer 401 otherwise."),
    "A16": Entry("retry-amplification", "Acknowledge duplicates instead of failing them."),
}

IMPLIES: dict[str, tuple[str, ...]] = {
    "A1": ("A8",),  # two rows that ship also move the stock twice
    "A2": ("A3",),  # what never came to be was not there at the first look either
    "A5": ("A3",),  # an order that is torn for good lacks what its acknowledgement promised
    "A9": ("A2", "A3"),  # retries end at the dedupe record, so the work is never done
}


def anomaly(code: str, key: OrderKey, message: str, first_ns: int) -> Anomaly:
    """An anomaly with its name and its fix from the catalogue."""
    entry = CATALOGUE[code]
    return Anomaly(
        code=code,
        name=entry.name,
        shop=key[0],
        order_id=key[1],
        message=message,
        fix=entry.fix,
        first_ns=first_ns,
    )
