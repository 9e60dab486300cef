"""A delivery, from its bytes to its answer, whatever server its bytes came through.

The order of checks is the contract: size (413), signature over the raw bytes (401), headers and
types (400), and only then the strategy. Bad input never reaches the database and never gets a
5xx. A database that a retry may find healthy again is a 503, which Shopify repeats; anything
unforeseen is a 500 with its traceback in the log. Each answer is counted, timed and told in the
log.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.database import TRANSIENT_ERRORS
from service.delivery_log import DeliveryLog
from service.strategies import Answer
from service.webhook import RefusedError, Webhook, authenticate, parse

MAX_IN_FLIGHT = 1024
PAID, CREATE, CANCELLED = "orders/paid", "orders/create", "orders/cancelled"

Handle = Callable[[Webhook], Awaitable[Answer]]

log = structlog.get_logger()


class Deliveries:
    """What happens to a delivery of each topic that `handlers` names."""

    def __init__(
        self, handlers: Mapping[str, Handle], secrets: Sequence[bytes], registry: CollectorRegistry
    ) -> None:
        self._handlers = handlers
        self._secrets = secrets
        self._in_flight = 0
        self._log = DeliveryLog()
        self._answers = Counter(
            "webhook_answers", "Answers given", ["topic", "status"], registry=registry
        )
        self._seconds = Histogram("webhook_seconds", "Time to answer", ["topic"], registry=registry)
        Gauge("webhooks_in_flight", "Deliveries being handled", registry=registry).set_function(
            lambda: self._in_flight
        )
        # Looking a label up costs more than counting.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._timers = {topic: self._seconds.labels(topic) for topic in handlers}

    async def answer(
        self, topic: str, headers: Mapping[str, str], body: bytes | Callable[[], Awaitable[bytes]]
    ) -> Answer:
        """The answer to one delivery; what fetches its body may raise RefusedError."""
        started = time.perf_counter()
        webhook: Webhook | None = None
        self._in_flight += 1
        try:
            if self._in_flight > MAX_IN_FLIGHT:
                answer = Answer(503, "too many deliveries at once")
            else:
                whole = body if isinstance(body, bytes) else await body()
                authenticate(whole, headers.get("X-Shopify-Hmac-Sha256"), self._secrets)
                webhook = parse(whole, headers, topic)
                answer = await self._handlers[topic](webhook)
        except RefusedError as refusal:
            answer = Answer(refusal.status, refusal.reason)
        except TRANSIENT_ERRORS as error:
            answer = Answer(503, f"try again: {type(error).__name__}")
        except Exception:
            log.exception("unforeseen")
            answer = Answer(500, "internal error")
        finally:
            self._in_flight -= 1
        self._tell(topic, answer, webhook, time.perf_counter() - started)
        return answer

    def _tell(self, topic: str, answer: Answer, webhook: Webhook | None, seconds: float) -> None:
        counter = self._counters.get((topic, answer.status))
        if counter is None:
            counter = self._answers.labels(topic, str(answer.status))
            self._counters[topic, answer.status] = counter
        counter.inc()
        self._timers[topic].observe(seconds)
        self._log.tell(
            topic, answer.status, answer.outcome,
            webhook.order_id if webhook else None, webhook.webhook_id if webhook else None,
            seconds,
        )  # fmt: skip


def answer_body(answer: Answer) -> bytes:
    """What is sent for an answer, as JSON."""
    return msgspec.json.encode({"outcome": answer.outcome})
