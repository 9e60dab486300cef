"""The anomalies: stable code, kebab-case name, and the usual way to mend a service.

`IMPLIES` is the declared table: when an order has the anomaly on the left, those on the right can
be its consequence and are marked as implied by it, so that a reader starts at the cause. Of two
causes the one that stands first is named: those that stand first explain the most.
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
    "A4": Entry(
        "phantom-shipment",
        "Ship only what an orders/paid of this very order asked for: never on orders/create, never "
        "from a row that has no order, and refuse an order id that is missing or empty.",
    ),
    "A5": Entry(
        "torn-effects",
        "Write order, fulfillment, stock and log in one transaction on one connection, and "
        "create the order's row when it is absent instead of updating none.",
    ),
    "A6": Entry(
        "stuck-order",
        "Give every claim a lease and a sweeper that ends it, and let no session hold a lock for "
        "longer than its work (idle_in_transaction_session_timeout).",
    ),
    "A7": Entry(
        "false-reject",
        "Answer every delivery of a settled order with 2xx: an id or a key that is there already "
        "means success (ON CONFLICT DO NOTHING), not an error.",
    ),
    "A8": Entry(
        "double-stock-decrement",
        "Decrement stock only in the transaction that won the order's unique key, and make the "
        "movement's own key unique per order and sku.",
    ),
    "A9": Entry(
        "dedupe-poisoning",
        "Record a webhook id in the transaction that does the work, never before it; a claim that "
        "must be there first needs a lease.",
    ),
    "A10": Entry(
        "out-of-order",
        "Guard each status change by the state it may come from: UPDATE … SET status = 'paid' "
        "WHERE status = 'pending', and keep a row for an order whose cancellation came first.",
    ),
    "A11": Entry(
        "payload-swap",
        "Key every row on shop and order id, take the lines from the delivery at hand, and compare "
        "what a key that is there already stands for.",
    ),
    "A12": Entry(
        "ghost-effect",
        "Refuse before the first effect, not after it: a 400, 401, 404 or 413 promises that "
        "nothing happened.",
    ),
    "A13": Entry(
        "zombie-write",
        "Fence late writes: one transaction under the order's own row lock or unique key, or a "
        "version that the successor raises and every write compares.",
    ),
    "A14": Entry(
        "cross-order-contamination",
        "Take a connection from the pool for each transaction and keep it to its end: BEGIN on the "
        "pool itself, or on one client for all, mixes the orders.",
    ),
    "A15": Entry(
        "unauthenticated-effect",
        "Verify the signature over the raw body before anything else, in constant time and for any "
        "length; answer 401 to all that does not match.",
    ),
    "A16": Entry(
        "retry-amplification",
        "Acknowledge the duplicates of a settled order at once instead of failing them: each "
        "failure comes back up to eight times.",
    ),
    "A17": Entry(
        "miscounted-effect",
        "Credit, queue and write in the transaction that won the order's unique key, and give each "
        "of them a key of the order's own.",
    ),
}

IMPLIES: dict[str, tuple[str, ...]] = {
    "A9": ("A2", "A3", "A5", "A6"),  # retries end at the dedupe record, so the work is never done
    "A11": ("A2", "A3", "A5", "A8"),  # the work of one order was done for another
    "A12": ("A1", "A7", "A8", "A16"),  # told that it failed, the sender asks for it again
    "A13": ("A1", "A8", "A10"),  # the successor's work is done once more, or undone
    "A14": ("A1", "A2", "A3", "A5", "A8"),  # half of an order is committed or rolled back
    "A15": ("A1", "A8", "A11"),  # the forged one ships too, or its lines instead of the order's
    "A4": ("A1", "A8"),  # shipped before it was paid, and again after that
    "A1": ("A8", "A17"),  # two rows that ship also move the stock twice, and are counted twice
    "A2": ("A3", "A17"),  # what never came to be was not there at the first look either
    "A5": ("A3",),  # an order that is torn for good lacks what its acknowledgement promised
    "A7": ("A16",),  # nine refusals are more than five
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
