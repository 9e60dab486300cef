"""The HTTP around the strategies: routes, refusals, errors, health and metrics.

The order of checks is the contract: size (413), signature over the raw bytes (401), headers and
types (400), and only then the strategy. Bad input never reaches the database and never gets a
5xx. A database that a retry may find healthy again is a 503, which Shopify repeats; anything
unforeseen is a 500 with its traceback in the log.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.database import TRANSIENT_ERRORS
from service.orders import cancel_unless_paid, insert_pending
from service.pool import Pool
from service.provider import Provider
from service.settings import Settings
from service.strategies import Answer, load_strategy
from service.webhook import BODY_LIMIT_BYTES, RefusedError, Webhook, authenticate, parse

MAX_IN_FLIGHT = 1024
READY_TIMEOUT_SECONDS = 2.0
BODY_TIMEOUT_SECONDS = 10.0  # twice what the sender waits for all of it

log = structlog.get_logger()


class App:
    """The routes and what they share; `draining` and `schema_applied` decide readiness."""

    def __init__(self, settings: Settings, pool: Pool, provider: Provider) -> None:
        self.draining = False
        self.schema_applied = False
        self._settings = settings
        self._pool = pool
        self._provider = provider
        self._handle_paid = load_strategy(settings.strategy)
        self._in_flight = 0
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "webhook_answers", "Answers given", ["topic", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "webhook_seconds", "Time to answer", ["topic"], registry=self._registry
        )
        Gauge(
            "webhooks_in_flight", "Deliveries being handled", registry=self._registry
        ).set_function(lambda: self._in_flight)

    def build(self) -> web.Application:
        """The aiohttp application."""
        # aiohttp's own limit lies above ours: it is the backstop for bodies without a length.
        application = web.Application(client_max_size=BODY_LIMIT_BYTES)
        application.add_routes(
            [
                web.post("/webhooks/orders/paid", self._paid),
                web.post("/webhooks/orders/create", self._create),
                web.post("/webhooks/orders/cancelled", self._cancelled),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        return application

    def runner(self, drain_seconds: float) -> web.AppRunner:
        """What serves it; on cleanup, deliveries under way get `drain_seconds` to finish."""
        # Not decompressed: the signature covers the bytes as they came.
        return web.AppRunner(
            self.build(), access_log=None, shutdown_timeout=drain_seconds, auto_decompress=False
        )

    async def _paid(self, request: web.Request) -> web.Response:
        return await self._deliver(
            request,
            "orders/paid",
            lambda webhook: self._handle_paid(webhook, self._pool, self._provider),
        )

    async def _create(self, request: web.Request) -> web.Response:
        return await self._deliver(
            request, "orders/create", lambda webhook: insert_pending(webhook, self._pool)
        )

    async def _cancelled(self, request: web.Request) -> web.Response:
        return await self._deliver(
            request, "orders/cancelled", lambda webhook: cancel_unless_paid(webhook, self._pool)
        )

    async def _deliver(
        self, request: web.Request, topic: str, handle: Callable[[Webhook], Awaitable[Answer]]
    ) -> web.Response:
        started = time.perf_counter()
        webhook: Webhook | None = None
        self._in_flight += 1
        try:
            if self._in_flight > MAX_IN_FLIGHT:
                answer = Answer(503, "too many deliveries at once")
            else:
                webhook = await self._admit(request, topic)
                answer = await handle(webhook)
        except RefusedError as refusal:
            answer = Answer(refusal.status, refusal.reason)
        except TRANSIENT_ERRORS as error:
            answer = Answer(503, f"try again: {type(error).__name__}")
        except Exception:
            log.exception("unforeseen")
            answer = Answer(500, "internal error")
        finally:
            self._in_flight -= 1
        seconds = time.perf_counter() - started
        self._answers.labels(topic, str(answer.status)).inc()
        self._seconds.labels(topic).observe(seconds)
        log.info(
            "delivery",
            topic=topic,
            status=answer.status,
            outcome=answer.outcome,
            order_id=webhook and webhook.order_id,
            webhook_id=webhook and webhook.webhook_id,
            ms=round(seconds * 1000, 3),
        )
        return web.json_response({"outcome": answer.outcome}, status=answer.status)

    async def _admit(self, request: web.Request, topic: str) -> Webhook:
        if (request.content_length or 0) > BODY_LIMIT_BYTES:
            raise RefusedError(413, "the body is over 1 MiB")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await request.read()
        except TimeoutError:
            raise RefusedError(408, "the body did not come") from None
        except web.HTTPRequestEntityTooLarge:
            raise RefusedError(413, "the body is over 1 MiB") from None
        except (web.RequestPayloadError, ValueError):
            raise RefusedError(400, "the body could not be read") from None
        authenticate(body, request.headers.get("X-Shopify-Hmac-Sha256"), self._settings.secrets)
        return parse(body, request.headers, topic)

    async def _healthz(self, _request: web.Request) -> web.Response:
        """Alive: says nothing about the database, whose outage no restart of ours heals."""
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        """Ready for traffic: not draining, schema there, database answers."""
        if self.draining or not self.schema_applied:
            return web.json_response(
                {"status": "draining" if self.draining else "starting"}, status=503
            )
        try:
            async with self._pool.acquire(timeout=READY_TIMEOUT_SECONDS) as connection:
                await connection.fetchval("SELECT 1", timeout=READY_TIMEOUT_SECONDS)
        except TRANSIENT_ERRORS as error:
            return web.json_response({"status": f"database: {type(error).__name__}"}, status=503)
        return web.json_response({"status": "ready"})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")
