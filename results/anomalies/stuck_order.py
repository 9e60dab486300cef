"""A6, stuck-order: the sender did all it does, nothing was wrong any more, and nothing came of it.

No delivery was ever `ok`, nothing was shipped, and the sender gave up on a copy of a webhook of
which two attempts or more were calm (`results/health.py`). What the ledger holds does not matter:
an order that is paid there and never leaves is as stuck as one that nobody knows. An order whose
attempts were all disturbed is unresolved instead, and so is one that the sender left early.
Not judged where not one delivery was `ok` in the whole run: then the URL or the secret is wrong.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.health import Health, answer, given_up, never_calm, unknown
from results.history import begun_ns
from results.verdict import Anomaly

CODE = "A6"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness and the history, whole, a run that ended, and that anything worked."""
    history = bundle.history
    if all(history.first_ok_ns(key) is None for key in history.by_order):
        return "not one delivery was acknowledged, so the URL or the secret may be wrong"
    return needs.first(
        needs.whole_witness(bundle),
        needs.whole_history(bundle),
        needs.ended(bundle),
        unknown(bundle),
        never_calm(bundle),
    )


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that was given up on and never shipped."""
    health = Health.of(bundle)
    for key, deliveries in bundle.history.by_order.items():
        if bundle.history.first_ok_ns(key) is not None or bundle.shipped(key):
            continue
        if bundle.history.cancelled_ns(key) is not None:
            continue
        calm = given_up(bundle, health, deliveries)
        if calm:
            yield anomaly(
                CODE,
                key,
                f"Order {key[1]} was delivered {len(deliveries)} times and never acknowledged or "
                f"shipped; nothing else was wrong during {len(calm)} attempts of one copy, the "
                f"last of which got {answer(calm[-1])}.",
                begun_ns(calm[-1]),
            )
