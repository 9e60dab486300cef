"""A7, false-reject: the work is done, and no answer ever says so.

The order was shipped already. One copy of one of its webhooks was sent again and again, at least
twice calmly and after the shipment, until the sender gave up; not one of its attempts was `ok`.
Eight failures in a row can cost the whole subscription. A 5xx that a retry heals is not this but a
finding, spurious-5xx.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.health import Health, answer, given_up, never_repeated, settled_ns, unknown
from results.history import begun_ns
from results.verdict import Anomaly

CODE = "A7"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness, all answers, a run that ended, and to know when it was calm."""
    return needs.first(
        needs.witness(bundle),
        needs.whole_history(bundle),
        needs.ended(bundle),
        unknown(bundle),
        never_repeated(bundle),
    )


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each settled order with a copy that never reached `ok`."""
    health = Health.of(bundle)
    for key, deliveries in bundle.history.by_order.items():
        since_ns = settled_ns(bundle, key)
        if since_ns is None:
            continue
        calm = given_up(bundle, health, deliveries, since_ns)
        if calm:
            yield anomaly(
                CODE,
                key,
                f"Order {key[1]} was shipped, and webhook {calm[0].intent.webhook_id} was still "
                f"refused {len(calm)} times after that, at last with {answer(calm[-1])}; the "
                "sender gave up.",
                begun_ns(calm[0]),
            )
