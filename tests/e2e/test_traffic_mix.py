"""What comes beside the bursts: repeated, repaid, cancelled and forged deliveries, two shops."""

from collections import Counter, defaultdict
from dataclasses import replace

from aiohttp import web

from loadtests.swarm import SwarmPlan
from loadtests.traffic import Mix
from tests.e2e.sink import Sink, plan, send, sink

__all__ = ["plan", "sink"]  # fixtures


async def test_what_comes_beside_the_bursts(sink: Sink, plan: SwarmPlan) -> None:
    mix = Mix(again=1, repaid=1, cancelled=1, forged=1, two_shops=True)
    history = await send(replace(plan, mix=mix, cancel_webhook="/webhooks/orders/cancelled"))

    kinds = Counter(intent.kind for intent in history.intents)
    assert kinds == {"paid": 24, "again": 12, "repaid": 12, "orders/cancelled": 12, "forged": 12}
    assert sink.forged == 12
    forged = [intent for intent in history.intents if not intent.authentic]
    assert {intent.kind for intent in forged} == {"forged"}
    real = {intent.order_id for intent in history.intents if intent.authentic}
    assert not real & {intent.order_id for intent in forged}
    assert len(real) == 6
    by_order = defaultdict(list)
    for intent in history.intents:
        by_order[intent.shop, intent.order_id].append(intent)
    for intents in by_order.values():
        kind = {intent.kind: intent for intent in intents}
        if "paid" not in kind:
            continue
        cancelled = history.completions[kind["orders/cancelled"].attempt_id]
        first = [intent for intent in intents if intent.kind == "paid" and intent.copy == 0]
        sent_ns = history.completions[first[0].attempt_id].sent_ns
        assert sent_ns is not None
        assert cancelled.done_ns < sent_ns
        assert kind["again"].webhook_id == first[0].webhook_id
        assert kind["repaid"].webhook_id not in {one.webhook_id for one in first}


async def test_a_retry_may_come_under_a_new_id_and_the_secret_may_change(
    sink: Sink, plan: SwarmPlan
) -> None:
    async def once_refused(_request: web.Request, attempt: int) -> web.StreamResponse:
        return web.json_response({}, status=503 if attempt == 1 else 200)

    sink.answer = once_refused
    rotating = replace(plan, mix=Mix(rotate_ids=True), rotate_after=6)
    history = await send(rotating, next_secret="the next one")

    ids = defaultdict(set)
    for intent in history.intents:
        ids[intent.order_id, intent.copy].add(intent.webhook_id)
    assert {len(found) for found in ids.values()} == {2}
    assert 0 < sink.forged < sum(sink.received.values())  # signed with the next secret
