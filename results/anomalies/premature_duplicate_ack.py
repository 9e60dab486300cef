"""A3, premature-duplicate-ack: "done" was said before anything was durable.

Every `ok`, to a duplicate too, promises that the order is paid and its fulfillment recorded. A
snapshot that began after the sender had the whole answer must show both; only such snapshots are
compared, since all times come from one monotonic clock. What was not sampled was not seen: the
number of snapshots is part of the coverage. From a cancellation on the promise is void. An order
that waits in an inbox, where the service declares one, is durable enough; when it has left the
inbox, both must be there.

The wire sees what falls between two snapshots: an `ok` that the sender had before the first COMMIT
for its order, alone or in a batch, was even forwarded to Postgres cannot have rested on it. Where
another shop uses the order's id nobody knows which COMMIT was the first.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey
from results.records import OrderState
from results.transactions import is_behind, transactions
from results.verdict import Anomaly

CODE = "A3"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the orders or the fulfillments of the ledger, whole, and at least one snapshot."""
    if not bundle.declares("orders") and not bundle.declares("fulfillments"):
        return "the service declares neither orders nor fulfillments in its ledger"
    return needs.first(needs.snapshots(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order: at the first snapshot, or else the COMMIT, that contradicts an `ok`."""
    commits = _first_commits(bundle)
    for key in bundle.history.by_order:
        first_ok_ns = bundle.history.first_ok_ns(key)
        if first_ok_ns is None:
            continue
        found = _by_snapshots(bundle, key, first_ok_ns) or _by_wire(
            bundle, key, first_ok_ns, commits.get(key)
        )
        if found is not None:
            yield found


def _by_snapshots(bundle: Bundle, key: OrderKey, first_ok_ns: int) -> Anomaly | None:
    from_index = bundle.ledger.first_begun_at_or_after(first_ok_ns)
    cancelled_ns = bundle.history.cancelled_ns(key)
    for stretch in bundle.ledger.stretches(key):
        index = max(stretch.first, from_index)
        if index >= stretch.end:
            continue
        # Effects only accumulate, so the first snapshot of a stretch is its worst.
        snapshot = bundle.ledger.snapshots[index]
        if cancelled_ns is not None and snapshot.ended_ns >= cancelled_ns:
            return None
        missing = _missing(bundle, key, stretch.state, snapshot.ended_ns)
        if missing and not stretch.state.in_inbox:
            apart_ms = (snapshot.begun_ns - first_ok_ns) / 1e6
            return anomaly(
                CODE,
                key,
                f"Order {key[1]} had been acknowledged for {apart_ms:.1f} ms when a snapshot "
                f"of the ledger showed {missing}.",
                snapshot.begun_ns,
            )
    return None


def _by_wire(
    bundle: Bundle, key: OrderKey, first_ok_ns: int, committed_ns: int | None
) -> Anomaly | None:
    if committed_ns is None or first_ok_ns >= committed_ns:
        return None
    if bundle.history.cancelled_ns(key) is not None:
        return None
    for stretch in bundle.ledger.stretches(key):
        looks = bundle.ledger.snapshots[stretch.first : stretch.end]
        seen_ns = max((one.ended_ns for one in looks if one.ended_ns < committed_ns), default=None)
        if seen_ns is not None and not _missing(bundle, key, stretch.state, seen_ns):
            return None  # it was there: by statements that carry no id which we know
    apart_ms = (committed_ns - first_ok_ns) / 1e6
    return anomaly(
        CODE,
        key,
        f"Order {key[1]} had been acknowledged for {apart_ms:.1f} ms when the first COMMIT for it "
        "was sent to Postgres.",
        first_ok_ns,
    )


def _first_commits(bundle: Bundle) -> dict[OrderKey, int]:
    """Per order when its first COMMIT after the announcement was forwarded; {} without a trace."""
    if needs.whole_trace(bundle) is not None:
        return {}
    announced = {
        key: min(delivery.intent.intended_ns for delivery in found)
        for key, found in bundle.history.by_order.items()
    }
    found: dict[OrderKey, int] = {}
    for transaction in transactions(bundle.statements):
        end = transaction.end
        if end is None or end.forwarded_ns is None or not transaction.committed:
            continue
        if is_behind(transaction.replica) or not transaction.may_have_written:
            continue
        for key in bundle.naming.among(transaction.flights):
            if bundle.naming.shares_id(key):
                continue
            if transaction.begun_ns >= announced.get(key, end.forwarded_ns + 1):
                found[key] = min(end.forwarded_ns, found.get(key, end.forwarded_ns))
    return found


def _missing(bundle: Bundle, key: OrderKey, state: OrderState, until_ns: int) -> str:
    """What the promise lacks, in words; empty when it is kept."""
    lacks = []
    if bundle.declares("orders") and state.status != "paid":
        lacks.append("no such order" if state.status is None else f"it as {state.status!r}")
    shipped = any(at_ns <= until_ns for at_ns in bundle.shipped(key).values())
    if bundle.declares("fulfillments") and not state.fulfillments and not shipped:
        lacks.append("no fulfillment of it")
    return " and ".join(lacks)
