"""A3, premature-duplicate-ack: "done" was said before anything was durable.

Every `ok`, to a duplicate too, promises that the order is paid and its fulfillment recorded. A
snapshot that began after the sender had the whole answer must show both; only such snapshots are
compared, since all times come from one monotonic clock. What was not sampled was not seen: the
number of snapshots is part of the coverage. From a cancellation on the promise is void.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey
from results.records import OrderState
from results.verdict import Anomaly

CODE = "A3"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the orders or the fulfillments of the ledger, whole, and at least one snapshot."""
    if not bundle.declares("orders") and not bundle.declares("fulfillments"):
        return "the service declares neither orders nor fulfillments in its ledger"
    return needs.first(needs.snapshots(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order, at the first snapshot that contradicts an earlier `ok`."""
    for key in bundle.history.by_order:
        first_ok_ns = bundle.history.first_ok_ns(key)
        if first_ok_ns is None:
            continue
        from_index = bundle.ledger.first_begun_at_or_after(first_ok_ns)
        cancelled_ns = bundle.history.cancelled_ns(key)
        for stretch in bundle.ledger.stretches(key):
            index = max(stretch.first, from_index)
            if index >= stretch.end:
                continue
            if cancelled_ns is not None and bundle.ledger.snapshots[index].ended_ns >= cancelled_ns:
                break
            # Effects only accumulate, so the first snapshot of a stretch is its worst.
            snapshot = bundle.ledger.snapshots[index]
            missing = _missing(bundle, key, stretch.state, snapshot.ended_ns)
            if missing:
                apart_ms = (snapshot.begun_ns - first_ok_ns) / 1e6
                yield anomaly(
                    CODE,
                    key,
                    f"Order {key[1]} had been acknowledged for {apart_ms:.1f} ms when a snapshot "
                    f"of the ledger showed {missing}.",
                    snapshot.begun_ns,
                )
                break


def _missing(bundle: Bundle, key: OrderKey, state: OrderState, until_ns: int) -> str:
    """What the promise lacks, in words; empty when it is kept."""
    lacks = []
    if bundle.declares("orders") and state.status != "paid":
        lacks.append("no such order" if state.status is None else f"it as {state.status!r}")
    shipped = any(at_ns <= until_ns for at_ns in bundle.shipped(key).values())
    if bundle.declares("fulfillments") and not state.fulfillments and not shipped:
        lacks.append("no fulfillment of it")
    return " and ".join(lacks)
