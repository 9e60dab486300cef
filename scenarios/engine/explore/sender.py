"""Sends one delivery to one replica, as Shopify would, and writes it down before and after."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp

from cluster.place import Replica
from loadtests import shopify
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder, Webhook, order_number, plan_order
from results.records import Intent
from scenarios.engine.explore.laboratory import Laboratory

WORKER = 98  # order ids of their own


@dataclass(slots=True)
class Sender:
    """One history file, one HTTP session, and the orders drawn from the seed."""

    lab: Laboratory
    session: aiohttp.ClientSession
    recorder: Recorder
    planned: int = 0

    def order(self, deliveries: int, *, distinct: bool) -> PlannedOrder:
        """The next order, of one line: a short history reads best."""
        self.planned += 1
        number = order_number(self.lab.plan.seed, WORKER, self.planned)
        choices = self.lab.plan.random(f"explore:{self.planned}")
        order = plan_order(choices, number, 0.0, deliveries, distinct)
        return replace(order, lines=order.lines[:1])

    async def create(self, order: PlannedOrder, replica: Replica) -> int | None:
        """Announce it (orders/create)."""
        announced = Webhook(order.event_id[:-4] + "c0de", 0, "created")
        path = self.lab.plan.config.service.create_webhook
        return await self._post(order, announced, replica, 1, "orders/create", path or "")

    async def pay(
        self, order: PlannedOrder, webhook: Webhook, replica: Replica, attempt: int = 1
    ) -> int | None:
        """Deliver orders/paid; the status of the answer, None without one."""
        path = self.lab.plan.config.service.webhook
        return await self._post(order, webhook, replica, attempt, "orders/paid", path)

    async def _post(
        self, order: PlannedOrder, webhook: Webhook, replica: Replica, attempt: int, topic: str,
        path: str,
    ) -> int | None:  # fmt: skip
        intent = Intent(
            attempt_id=f"{webhook.webhook_id}.{webhook.copy}.{attempt}",
            group_id=str(order.order_id), shop=order.shop, order_id=order.order_id, topic=topic,
            webhook_id=webhook.webhook_id, event_id=order.event_id, copy=webhook.copy,
            attempt=attempt, authentic=True, target=replica.name, lines=order.lines,
            intended_ns=time.monotonic_ns(), kind=webhook.kind,
        )  # fmt: skip
        content = shopify.body(order, topic)
        signature = shopify.sign(self.lab.secret, content)
        headers = shopify.headers(order, webhook.webhook_id, topic, signature)
        headers["X-Onceproof-Attempt"] = intent.attempt_id
        self.recorder.intend([intent])
        sent_ns, status, error = time.monotonic_ns(), None, None
        try:
            async with self.session.post(
                f"{replica.url}{path}", data=content, headers=headers, allow_redirects=False
            ) as answer:
                async for _ in answer.content.iter_chunked(1 << 16):
                    pass  # to its end, which 5 s limit; kept nowhere
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as problem:
            error = repr(problem)
        self.recorder.complete(intent.attempt_id, sent_ns=sent_ns, status=status, error=error)
        return status


@asynccontextmanager
async def sender(lab: Laboratory) -> AsyncIterator[Sender]:
    """Send as long as the context lasts; its end is the end of the history."""
    recorder = Recorder(lab.folder.history(WORKER))
    timeout = aiohttp.ClientTimeout(total=shopify.TOTAL_SECONDS, connect=shopify.CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        sending = Sender(lab, session, recorder)
        try:
            yield sending
        finally:
            recorder.end(worker=WORKER, planned=sending.planned, sent=sending.planned, shed=0)


async def together(jobs: list["asyncio.Task[int | None]"]) -> None:
    """Wait for all of them."""
    if jobs:
        await asyncio.wait(jobs)
