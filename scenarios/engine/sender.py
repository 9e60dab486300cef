"""Sends single deliveries as the swarm would, into a history file of its own.

For what is not traffic: the directed search, and the baseline before a run. Each delivery is on
record before its first byte leaves, and is judged like any other.
"""

import time
from dataclasses import dataclass

import aiohttp

from loadtests import shopify
from loadtests.dialect import CREATE, PAID, Dialect
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder
from results.records import Intent
from scenarios.engine.stand import Stand

BODY_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Sender:
    """One POST at a time."""

    stand: Stand
    session: aiohttp.ClientSession
    recorder: Recorder
    dialect: Dialect

    async def deliver(
        self, order: PlannedOrder, copy: int, topic: str, target: str, *, attempt: int = 1,
        forged: bool = False,
    ) -> int | None:  # fmt: skip
        """Deliver one webhook to one replica; its status, None without a complete answer."""
        webhook_id = order.webhooks[copy].webhook_id
        if topic == CREATE:
            webhook_id = order.event_id[:-4] + "c0de"
        intent = Intent(
            attempt_id=f"{webhook_id}.{copy}.{attempt}",
            group_id=str(order.order_id) * (len(order.webhooks) > 1),
            shop=order.shop, order_id=order.order_id, topic=topic, webhook_id=webhook_id,
            event_id=order.event_id, copy=copy, attempt=attempt, authentic=not forged,
            target=target, lines=order.lines, intended_ns=time.monotonic_ns(),
        )  # fmt: skip
        content = self.dialect.body(order, topic, webhook_id)
        secret = "0" * 32 if forged else self.stand.secret
        headers = self.dialect.headers(order, webhook_id, topic, secret, content)
        headers["X-Onceproof-Attempt"] = intent.attempt_id
        self.recorder.intend([intent])
        sent_ns, status, error = time.monotonic_ns(), None, None
        service = self.stand.config.service
        path = service.webhook if topic == PAID else service.create_webhook
        url = f"{self.stand.targets[target]}{path}"
        try:
            async with self.session.post(
                url, data=content, headers=headers, allow_redirects=False
            ) as answer:
                async for _ in answer.content.iter_chunked(BODY_READ_BYTES):
                    pass  # to its end, which 5 s limit; kept nowhere
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as problem:
            error = repr(problem)
        self.recorder.complete(intent.attempt_id, sent_ns=sent_ns, status=status, error=error)
        return status


def sender_session() -> aiohttp.ClientSession:
    """A client with Shopify's patience."""
    timeout = aiohttp.ClientTimeout(total=shopify.TOTAL_SECONDS, connect=shopify.CONNECT_SECONDS)
    return aiohttp.ClientSession(timeout=timeout)
