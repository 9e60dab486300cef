"""A13, zombie-write: a replica that was dead or asleep wrote after its successor had done the work.

In the wire's trace: a transaction was open when its client's connection ended, or when its replica
was crashed or frozen; it was committed all the same; and between the two another replica committed
rows for the same order. Both must have written rows by Postgres' own command tags. A statement that
carries a webhook id is the record of one delivery, which a right handler writes late too, and does
not count; nor does a CTE that ends in a SELECT, whose tag is silent about what it wrote.

A late write that changes nothing harms nobody: an upsert that finds its order paid is how it should
be. So only an order is accused that moved stock twice (A8), came back from its cancellation
(A10), or was shipped twice (A1) from two fulfillments, where the ledger shows them: a relay too can
ship twice what is there once. This names the cause of it.

Limits: a backend that goes on without client and wire is not seen; a relay's flights name no order.
"""

from collections import defaultdict
from collections.abc import Iterator

from results.anomalies import double_stock_decrement, duplicate_shipment, needs, out_of_order
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey
from results.records import Stage
from results.transactions import Transaction, rows_written
from results.verdict import Anomaly

CODE = "A13"
STOPS = ("crash", "freeze")
HARMS = (duplicate_shipment, double_stock_decrement, out_of_order)


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the whole trace, a transaction that outlived its client, and a harm to compare."""
    missing = needs.first(needs.whole_trace(bundle), needs.whole_history(bundle))
    if missing:
        return missing
    if bundle.damaged("journal"):
        return "the journal has lost a line, so nobody knows all that was crashed or frozen"
    if not _late(bundle):
        return "no transaction was committed after its replica had died or frozen"
    if all(harm.cannot_judge(bundle) for harm in HARMS):
        return f"no harm could be seen: {duplicate_shipment.cannot_judge(bundle)}"
    return None


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each harmed order into which a late transaction wrote after another replica."""
    harmed = _harmed(bundle)
    writers: dict[OrderKey, list[tuple[Transaction, int]]] = defaultdict(list)
    for one in bundle.transactions:
        if one.committed_ns is not None and _rows(bundle, one):
            for key in bundle.naming.of_flights(one.flights) & harmed:
                writers[key].append((one, one.committed_ns))
    late = _late(bundle)
    for key, own in writers.items():
        for zombie, at_ns in own:
            stopped_ns = late.get(_place(zombie), at_ns)  # not late: nothing can lie between
            before = [
                (successor, done_ns)
                for successor, done_ns in own
                if successor.replica != zombie.replica and stopped_ns < done_ns < at_ns
            ]
            if before:
                successor, done_ns = before[0]
                yield anomaly(
                    CODE,
                    key,
                    f"{zombie.replica} was stopped in the middle of order {key[1]}; "
                    f"{successor.replica} wrote and committed it, and "
                    f"{(at_ns - done_ns) / 1e6:.1f} ms later so did what was left of "
                    f"{zombie.replica}.",
                    at_ns,
                )
                break


def _harmed(bundle: Bundle) -> set[OrderKey]:
    """Orders for which a late write can have made a difference."""
    found = {
        (one.code, (one.shop, one.order_id))
        for harm in HARMS
        if harm.cannot_judge(bundle) is None
        for one in harm.find(bundle)
    }
    return {
        key
        for code, key in found
        if code != duplicate_shipment.CODE
        or not bundle.declares("fulfillments")
        or any(len(state.fulfillments) > 1 for _, state in bundle.ledger.changes.get(key, ()))
    }


def _late(bundle: Bundle) -> dict[tuple[str, int, int], int]:
    """Committed transactions whose client died or froze while they were open: when it did."""
    stops: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for trace in bundle.connections:
        if trace.event in ("client-eof", "cut"):
            stops[trace.replica, trace.connection].append(trace.at_ns)
    for fault in bundle.faults:
        if fault.stage is Stage.INJECT and fault.kind in STOPS:
            stops[fault.replica, None].append(fault.at_ns)
    found = {}
    for one in bundle.transactions:
        at = (*stops[one.replica, one.connection], *stops[one.replica, None])
        within = [ns for ns in at if one.begun_ns <= ns < (one.committed_ns or 0)]
        if within:
            found[_place(one)] = min(within)
    return found


def _place(transaction: Transaction) -> tuple[str, int, int]:
    return transaction.replica, transaction.connection, transaction.begun_ns


def _rows(bundle: Bundle, transaction: Transaction) -> int:
    """Rows of the order, by the command tags."""
    return sum(
        rows_written(flight)
        for flight in transaction.flights
        if not bundle.naming.carries_webhook(flight)
    )
