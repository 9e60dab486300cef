"""A15, unauthenticated-effect: a forged delivery was let in, or broke something.

A forged or tampered delivery gets a 4xx and changes nothing. Accused is, per order: a 2xx to one; a
5xx to one in a calm moment (`results/health.py`), for a handler that chokes on a signature is no
lock; a shipment, or a row that says paid or asks for one, of an order that forged deliveries alone
can have caused (`results/causes.py`). 502, 503 and 504 say that nobody was at work, and a 3xx that
the way leads elsewhere: they tell nothing of the lock.
"""

from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.causes import Cause, cause
from results.health import Health
from results.history import OrderKey, begun_ns, status_of
from results.records import Delivery
from results.verdict import Anomaly

CODE = "A15"
AWAY = (502, 503, 504)
Seen = tuple[int, str]  # when, what


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs all that was sent, forged deliveries among it, and an answer that tells something."""
    forged = [one for found in bundle.history.forged.values() for one in found]
    if not forged:
        return "no forged delivery was sent"
    refused = any(400 <= (status_of(one) or 0) < 500 for one in forged)
    if not refused and next(find(bundle), None) is None:
        return "no forged delivery was refused or let in: nobody was at work"
    return needs.whole_history(bundle)


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order with a forged delivery that was not refused, or had an effect."""
    health = Health.of(bundle)
    for key, forged in bundle.history.forged.items():
        seen = [
            *_answers(health, forged),
            *_shipments(bundle, key),
            *_rows(bundle, key),
        ]
        if seen:
            seen.sort()
            what = " and ".join(dict.fromkeys(words for _, words in seen))
            times = "a forged delivery" if len(forged) == 1 else f"{len(forged)} forged deliveries"
            message = f"Order {key[1]} had {times}: {what}."
            yield anomaly(CODE, key, message, seen[0][0])


def _answers(health: Health, forged: tuple[Delivery, ...]) -> Iterator[Seen]:
    for one in forged:
        status = status_of(one)
        if status is None or status in AWAY:
            continue
        if 200 <= status < 300 or (status >= 500 and health.attempts([one])):
            yield begun_ns(one), f"one was answered {status}"


def _shipments(bundle: Bundle, key: OrderKey) -> Iterator[Seen]:
    for at_ns in bundle.effects.get(key, {}).values():
        if cause(bundle, key, at_ns) is Cause.FORGED:
            yield at_ns, "it was shipped without any other cause"


def _rows(bundle: Bundle, key: OrderKey) -> Iterator[Seen]:
    for index, state in bundle.ledger.changes.get(key, ()):
        snapshot = bundle.ledger.snapshots[index]
        if state.status != "paid" and not state.fulfillments and not state.movements:
            continue
        if cause(bundle, key, snapshot.ended_ns) is Cause.FORGED:
            yield snapshot.begun_ns, "the ledger shows its work without any other cause"
