"""What the service's tests share: signed deliveries, a fake provider, the app on a free port."""

import base64
import contextlib
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

from service.app import App
from service.database import open_pool
from service.fast_lane import FastLane
from service.pool import Pool
from service.provider import Provider
from service.settings import Settings

SECRET = b"current secret"
OLD_SECRET = b"previous secret"
SHOP = "onceproof-demo.myshopify.com"
ORDER_ID = 910_000_000_000_000_001


def order(order_id: Any = ORDER_ID, lines: Any = (("ONCE-002", 2), ("ONCE-001", 1))) -> bytes:
    items = [{"id": 1, "sku": sku, "quantity": quantity, "title": "ü"} for sku, quantity in lines]
    body = {"id": order_id, "total_price": "10.50", "line_items": items, "note": None}
    return json.dumps(body).encode()


def sign(body: bytes, secret: bytes = SECRET) -> str:
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


def headers(body: bytes, webhook_id: str | None = None, **changes: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": "orders/paid",
        "X-Shopify-Shop-Domain": SHOP,
        "X-Shopify-Webhook-Id": webhook_id or str(uuid.uuid4()),
        "X-Shopify-Hmac-Sha256": sign(body),
        **changes,
    }


class FakeProvider:
    """Counts shipments, honours keys, fails on request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.shipments: dict[str, int] = {}
        self.fail_after_effect = 0
        self.url = ""

    async def start(self) -> None:
        application = web.Application()
        application.add_routes([web.post("/shipments", self._ship)])
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/shipments"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _ship(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        self.calls.append((key, body["order_id"]))
        self.shipments.setdefault(key, body["order_id"])
        if self.fail_after_effect:
            self.fail_after_effect -= 1
            return web.json_response({}, status=500)
        return web.json_response({"shipment_id": key}, status=201)


@dataclass
class Running:
    """The app on a port, with a client and a connection to its database."""

    url: str
    http: aiohttp.ClientSession
    pool: asyncpg.Pool  # the test's own
    service_pool: Pool
    app: App
    lane: FastLane
    strategy: str

    async def paid(self, body: bytes, webhook_id: str | None = None, **changes: str) -> int:
        return await self.post("/webhooks/orders/paid", body, headers(body, webhook_id, **changes))

    async def create(self, body: bytes) -> int:
        return await self.post("/webhooks/orders/create", body, headers(body))

    async def cancel(self, body: bytes, **changes: str) -> int:
        return await self.post("/webhooks/orders/cancelled", body, headers(body, **changes))

    async def paid_outcome(self, body: bytes, webhook_id: str) -> tuple[int, str]:
        url, signed = f"{self.url}/webhooks/orders/paid", headers(body, webhook_id)
        async with self.http.post(url, data=body, headers=signed) as reply:
            return reply.status, (await reply.json())["outcome"]

    async def log(self) -> dict[str, str]:
        rows = await self.pool.fetch("SELECT webhook_id, status FROM shopify_webhook_log")
        return {row["webhook_id"]: row["status"] for row in rows}

    async def post(self, path: str, body: bytes, with_headers: dict[str, str]) -> int:
        async with self.http.post(self.url + path, data=body, headers=with_headers) as reply:
            await reply.read()
            return reply.status

    async def counts(self) -> dict[str, int]:
        return dict(
            await self.pool.fetchrow(
                "SELECT (SELECT count(*) FROM orders WHERE status = 'paid') AS paid,"
                " (SELECT count(*) FROM fulfillment_requests) AS fulfillments,"
                " (SELECT count(*) FROM stock_movements) AS movements,"
                " (SELECT sum(initial - remaining)::bigint FROM stock) AS taken,"
                " (SELECT count(*) FROM shopify_webhook_log) AS log"
            )
        )


@contextlib.asynccontextmanager
async def start_app(
    dsn: str, provider: FakeProvider, strategy: str, pool_size: int = 8,
    isolation: str = "read committed", ingest: str = "aiohttp",
) -> AsyncIterator[Running]:  # fmt: skip
    settings = Settings(
        database_url=dsn,
        secrets=(SECRET, OLD_SECRET),
        strategy=strategy,
        fulfillment_url=provider.url,
    )
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=0))
        service_pool = open_pool(dsn, pool_size, "tests app", isolation)
        stack.push_async_callback(service_pool.close, 5)
        client = await stack.enter_async_context(Provider(provider.url))
        app = App(settings, service_pool, client)
        app.schema_applied = True
        runner = app.runner(5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        lane = FastLane(app.deliveries, runner.server)
        stack.push_async_callback(lane.drain, 5)
        if ingest == "fast":
            await lane.listen("127.0.0.1", 0)
        else:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0)
            )
        )
        url = f"http://127.0.0.1:{(lane.addresses or runner.addresses)[0][1]}"
        yield Running(url, http, pool, service_pool, app, lane, strategy)
