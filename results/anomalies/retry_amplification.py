"""A16, retry-amplification: a settled order keeps the sender busy.

The order was shipped already, and five attempts or more of one copy of one webhook that were begun
after that, calmly, each got an answer that is no 2xx. The sender makes nine in all and doubles its
pauses, so five are far beyond an accident. Whether a later attempt was `ok` does not matter: if
none ever was, it is A7 too, and implied by it.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.health import Health, answer, copies, never_repeated, settled_ns, unknown
from results.history import begun_ns, status_of
from results.records import Outcome
from results.verdict import Anomaly

CODE = "A16"
REFUSALS_MIN = 5


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness, all answers, and to know when the run was calm."""
    return needs.first(
        needs.witness(bundle), needs.whole_history(bundle), unknown(bundle), never_repeated(bundle)
    )


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each settled order with so many refusals of one copy."""
    health = Health.of(bundle)
    for key, deliveries in bundle.history.by_order.items():
        since_ns = settled_ns(bundle, key)
        if since_ns is None:
            continue
        for attempts in copies(deliveries):
            refused = [
                one
                for one in health.attempts(attempts, since_ns)
                if one.outcome is not Outcome.OK and status_of(one)
            ]
            if len(refused) >= REFUSALS_MIN:
                yield anomaly(
                    CODE,
                    key,
                    f"Order {key[1]} was shipped, and webhook {refused[0].intent.webhook_id} was "
                    f"refused {len(refused)} times after that, at last with "
                    f"{answer(refused[-1])}.",
                    begun_ns(refused[REFUSALS_MIN - 1]),
                )
                break
