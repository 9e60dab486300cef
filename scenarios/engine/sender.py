"""Sends single deliveries as the swarm would, into a history file of its own.

For what is not traffic: the directed search, the baseline before a run, the schedules of an
exploration. Each delivery is on record before its first byte leaves, and is judged like any other.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from loadtests import shopify
from loadtests.dialect import CANCELLED, CREATE, PAID, Dialect
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder
from results.records import Intent
from scenarios.engine.config import ServiceConfig

BODY_READ_BYTES = 1 << 16
SUFFIXES = {CREATE: "c0de", CANCELLED: "ca0c"}  # of webhook ids, made from the event's


@dataclass(slots=True)
class Sender:
    """One POST at a time; `targets` are base URLs by the replica's name."""

    config: ServiceConfig
    secret: str
    targets: Mapping[str, str]
    session: aiohttp.ClientSession
    recorder: Recorder
    dialect: Dialect = field(init=False)

    def __post_init__(self) -> None:
        self.dialect = self.config.dialect()

    async def deliver(
        self, order: PlannedOrder, copy: int, topic: str, target: str, *, attempt: int = 1,
        forged: bool = False,
    ) -> int | None:  # fmt: skip
        """Deliver one webhook to one replica; its status, None without a complete answer."""
        webhook_id = order.webhooks[copy].webhook_id
        if topic in SUFFIXES:
            webhook_id = order.event_id[:-4] + SUFFIXES[topic]
        intent = Intent(
            attempt_id=f"{webhook_id}.{copy}.{attempt}",
            group_id=str(order.order_id) * (len(order.webhooks) > 1),
            shop=order.shop, order_id=order.order_id, topic=topic, webhook_id=webhook_id,
            event_id=order.event_id, copy=copy, attempt=attempt, authentic=not forged,
            target=target, lines=order.lines, intended_ns=time.monotonic_ns(),
        )  # fmt: skip
        content = self.dialect.body(order, topic, webhook_id)
        secret = "0" * 32 if forged else self.secret
        headers = self.dialect.headers(order, webhook_id, topic, secret, content)
        headers["X-Onceproof-Attempt"] = intent.attempt_id
        self.recorder.intend([intent])
        sent_ns, status, error = time.monotonic_ns(), None, None
        service = self.config.service
        paths = {PAID: service.webhook, CANCELLED: service.cancel_webhook}
        path = paths.get(topic, service.create_webhook)
        url = f"{self.targets[target]}{path}"
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
