"""What the tests of group commit share: a pool with gates, deliveries, the books."""

import asyncio
from collections.abc import Iterable
from typing import Any

import asyncpg
from interleaving import SHOP
from service_support import ORDER_ID

from service.pool import Pool
from service.strategies import Answer, group
from service.webhook import Line, Webhook

DONE = Answer(200, "fulfillment requested")
DUPLICATE = Answer(200, "duplicate order")


class GatedPool:
    """A pool whose statements wait at two gates: before they are sent, after they committed."""

    def __init__(self, raw: Pool) -> None:
        self.raw = raw
        self.before, self.after = asyncio.Event(), asyncio.Event()
        self.before.set()
        self.after.set()
        self.statements = 0
        self.loses_from = 10**9  # from this statement on the answer is lost
        self.reached = asyncio.Semaphore(0)  # one for each gate that was come to

    def acquire(self) -> "GatedPool":
        return self

    async def __aenter__(self) -> "GatedPool":
        self.connection = await self.raw.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.raw.give_back(self.connection)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        self.statements += 1
        self.reached.release()
        await self.before.wait()
        answer = await self.connection.fetchval(query, *arguments)
        self.reached.release()
        await self.after.wait()
        if self.statements >= self.loses_from:
            raise asyncpg.ConnectionDoesNotExistError("lost")
        return answer


def webhook(number: int, webhook_id: str = "", sku: str = "ONCE-001", shop: str = SHOP) -> Webhook:
    webhook_id = webhook_id or f"{number}-a"
    return Webhook(webhook_id, "orders/paid", shop, ORDER_ID + number, "1.00", (Line(sku, 1),))


def deliver(pool: Any, webhooks: Iterable[Webhook]) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(group.handle(one, pool, None)) for one in webhooks]  # type: ignore[arg-type]


async def answers(tasks: Iterable[asyncio.Task[Answer]]) -> list[Answer | BaseException]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def books(pool: Pool) -> tuple[int, int, int, int]:
    """Paid orders, fulfillments, units moved, units gone."""
    return tuple(
        await pool.fetchrow(
            "SELECT (SELECT count(*) FROM orders WHERE status = 'paid'),"
            " (SELECT count(*) FROM fulfillment_requests),"
            " (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_movements),"
            " (SELECT sum(initial - remaining)::bigint FROM stock)"
        )
    )  # type: ignore[return-value,arg-type]


async def log(pool: Pool) -> dict[str, str]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT webhook_id, status FROM shopify_webhook_log")
    return {row["webhook_id"]: row["status"] for row in rows}


async def process_dies(gated: GatedPool, tasks: Iterable[asyncio.Task[Answer]]) -> None:
    """Its connection ends and nothing of it says another word."""
    gated.connection.terminate()
    others = {one for one in asyncio.all_tasks() if "_flush_all" in repr(one.get_coro())}
    for task in (*tasks, *others):
        task.cancel()
    await asyncio.gather(*tasks, *others, return_exceptions=True)
