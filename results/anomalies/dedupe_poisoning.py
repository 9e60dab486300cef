"""A9, dedupe-poisoning: the service remembers the webhook and has forgotten the work.

At the end the webhook log has an entry for an authentic orders/paid of the order, the order is not
paid, nothing is to be shipped and nothing was. Such an entry does harm only to a sender that asks
again: so either a delivery was `ok`, and the sender believed it, or the sender gave up calmly
(`results/health.py`). An order that died with its replica and was never asked for again is
unresolved instead: a claim that somebody may still take over looks the same.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.health import Health, given_up
from results.history import PAID, OrderKey
from results.verdict import Anomaly

CODE = "A9"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the log beside orders or fulfillments, the history, and a run that ended."""
    if not bundle.declares("orders") and not bundle.declares("fulfillments"):
        return "the service declares neither orders nor fulfillments in its ledger"
    return needs.first(needs.webhook_log(bundle), needs.whole_history(bundle), needs.ended(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that is remembered and not done."""
    health = Health.of(bundle)
    for key, deliveries in bundle.history.by_order.items():
        topics = bundle.history.topics[key]
        state = bundle.ledger.final(key)
        logged = [entry for entry in state.webhook_ids if topics.get(entry) == PAID]
        if not logged or _done(bundle, key) or bundle.history.cancelled_ns(key) is not None:
            continue
        first_ok_ns = bundle.history.first_ok_ns(key)
        if first_ok_ns is None and not given_up(bundle, health, deliveries):
            continue
        ended = "acknowledged" if first_ok_ns is not None else "refused to the end"
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was {ended}, and in the end its webhook {logged[0]} is in the log, "
            f"the order {state.status or 'not there'}, and nothing shipped or to be shipped.",
            bundle.ledger.snapshots[-1].begun_ns,
        )


def _done(bundle: Bundle, key: OrderKey) -> bool:
    """Whether anything of the work is there."""
    state = bundle.ledger.final(key)
    return state.status == "paid" or bool(state.fulfillments) or bool(bundle.shipped(key))
