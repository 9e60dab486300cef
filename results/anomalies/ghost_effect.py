"""A12, ghost-effect: every delivery that can have caused the shipment was refused.

A `fail` promises that nothing happened: the connection was refused, nothing was sent, or the
answer was 400, 401, 404 or 413. If all authentic orders/paid that began before the first shipment
of their order ended so, one of those answers was not true. What came later, an `ok` to a retry
too, is no excuse. With a forged delivery among them it is A15.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.causes import Cause, cause
from results.health import answer
from results.history import begun_ns
from results.verdict import Anomaly

CODE = "A12"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness, and all that was sent."""
    return needs.first(needs.witness(bundle), needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order that was refused and shipped."""
    for key, effects in bundle.effects.items():
        at_ns = min(effects.values())
        if cause(bundle, key, at_ns) is not Cause.REFUSED:
            continue
        refused = [
            answer(one)
            for own in bundle.sharing(key)
            for one in bundle.history.by_order.get(own, ())
            if begun_ns(one) <= at_ns
        ]
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was shipped, and every delivery before that was refused "
            f"({len(refused)}: {', '.join(sorted(set(refused)))}).",
            at_ns,
        )
