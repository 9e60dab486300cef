"""A17, miscounted-effect: a book of the service's own shows an order's work other than once.

Rows can look clean while a balance was credited twice or a job was lost. So a service declares how
often an order took effect by each of its books: rows, a balance divided by the amount, queued jobs.
Twice is wrong in any snapshot; none is wrong at the end, once the order was acknowledged. Orders
that the traffic did not name are left alone.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.history import OrderKey
from results.ledger import COUNT_PREFIX
from results.verdict import Anomaly

CODE = "A17"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs a declared count and the ledger."""
    if not declared(bundle):
        return "the service declares no counts in its ledger"
    return needs.snapshots(bundle)


def declared(bundle: Bundle) -> list[str]:
    """The names of the counts."""
    queries = bundle.manifest.ledger_queries
    return [name.removeprefix(COUNT_PREFIX) for name in queries if name.startswith(COUNT_PREFIX)]


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order, at the first snapshot that counts it twice, or at the last."""
    over = needs.first(needs.whole_history(bundle), needs.ended(bundle)) is None
    for key in bundle.history.by_order:
        twice = _twice(bundle, key)
        if twice is not None:
            yield twice
        elif over:
            yield from _never(bundle, key)


def _twice(bundle: Bundle, key: OrderKey) -> Anomaly | None:
    for stretch in bundle.ledger.stretches(key):
        many = [f"{one.times} times by {one.name}" for one in stretch.state.counts if one.times > 1]
        if many:
            at_ns = bundle.ledger.snapshots[stretch.first].begun_ns
            message = f"Order {key[1]} took effect {' and '.join(many)}."
            return anomaly(CODE, key, message, at_ns)
    return None


def _never(bundle: Bundle, key: OrderKey) -> Iterator[Anomaly]:
    acked_ns = bundle.history.first_ok_ns(key)
    if acked_ns is None or bundle.history.cancelled_ns(key) is not None:
        return
    state = bundle.ledger.final(key)
    counted = {one.name for one in state.counts if one.times == 1}
    if lacking := [name for name in declared(bundle) if name not in counted]:
        yield anomaly(
            CODE, key,
            f"Order {key[1]} was acknowledged, and in the end it never took effect by "
            f"{' and '.join(lacking)}.",
            acked_ns,
        )  # fmt: skip
