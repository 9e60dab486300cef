"""The HTTP around the deliveries: routes, reading a body within its limits, health and metrics."""

import asyncio
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from service.database import TRANSIENT_ERRORS
from service.deliveries import CANCELLED, CREATE, PAID, Deliveries, answer_body
from service.orders import cancel_unless_paid, insert_pending
from service.pool import Pool
from service.provider import Provider
from service.settings import Settings
from service.strategies import load_strategy
from service.webhook import BODY_LIMIT_BYTES, RefusedError

READY_TIMEOUT_SECONDS = 2.0
BODY_TIMEOUT_SECONDS = 10.0  # twice what the sender waits for all of it


class App:
    """The routes and what they share; `draining` and `schema_applied` decide readiness."""

    def __init__(self, settings: Settings, pool: Pool, provider: Provider) -> None:
        self.draining = False
        self.schema_applied = False
        self._pool = pool
        self._registry = CollectorRegistry()
        handle_paid = load_strategy(settings.strategy)
        self.deliveries = Deliveries(
            {
                PAID: lambda webhook: handle_paid(webhook, pool, provider),
                CREATE: lambda webhook: insert_pending(webhook, pool),
                CANCELLED: lambda webhook: cancel_unless_paid(webhook, pool),
            },
            settings.secrets,
            self._registry,
        )

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
        return await self._deliver(request, PAID)

    async def _create(self, request: web.Request) -> web.Response:
        return await self._deliver(request, CREATE)

    async def _cancelled(self, request: web.Request) -> web.Response:
        return await self._deliver(request, CANCELLED)

    async def _deliver(self, request: web.Request, topic: str) -> web.Response:
        answer = await self.deliveries.answer(topic, request.headers, partial(_read, request))
        return web.Response(
            body=answer_body(answer),
            status=answer.status,
            content_type="application/json",
            charset="utf-8",
        )

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


async def _read(request: web.Request) -> bytes:
    """The whole body, or RefusedError."""
    try:
        if (request.content_length or 0) > BODY_LIMIT_BYTES:
            raise RefusedError(413, "the body is over 1 MiB")
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError:
        raise RefusedError(408, "the body did not come") from None
    except web.HTTPRequestEntityTooLarge:
        raise RefusedError(413, "the body is over 1 MiB") from None
    except (web.RequestPayloadError, ValueError):
        raise RefusedError(400, "the body could not be read") from None
