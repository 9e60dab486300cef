"""Both transports send the same deliveries, and say the same of what came back."""

import asyncio
import os
import signal
import sys
from dataclasses import replace

import psutil
import pytest
from aiohttp import web

from loadtests.swarm import ROOT, Swarm, SwarmPlan
from loadtests.traffic import Mix
from results.records import Completion, Intent, Outcome
from tests.e2e.sink import READER, SECRET, History, Sink, plan, read, send, sink

__all__ = ["plan", "sink"]  # fixtures

MIX = Mix(again=0.5, repaid=0.5, cancelled=0.5, forged=1, two_shops=True, rotate_ids=True)


async def moody(request: web.Request, attempt: int) -> web.StreamResponse:
    """What it does with a delivery is decided by its id, whoever sent it."""
    assert request.transport is not None
    if request.headers["X-Shopify-Topic"] != "orders/paid" or attempt > 2:
        return web.json_response({})
    match int(request.headers["X-Shopify-Webhook-Id"][0], 16) % 6:
        case 0:
            request.transport.abort()
        case 1:
            return web.Response(status=500)
        case 2:
            return web.Response(status=404)
        case 3:
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for _ in range(3):
                await response.write(b"piece by piece")
            return response
        case 4:
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"cut")
            request.transport.close()
            return response
    return web.json_response({})


def told(history: History) -> dict[str, tuple[object, ...]]:
    """By attempt, all that does not depend on the moment."""
    began_ns = min(one.intended_ns for one in history.intents if one.topic == "orders/paid")
    return {
        one.attempt_id: (
            one.group_id, one.shop, one.order_id, one.topic, one.webhook_id, one.event_id,
            one.copy, one.attempt, one.authentic, one.target, one.lines, one.kind,
            (one.intended_ns - began_ns) // 1_000_000 if one.group_id else 0,
            history.completions[one.attempt_id].outcome,
            history.completions[one.attempt_id].status,
            history.completions[one.attempt_id].sent_ns is None,
        )
        for one in history.intents
    }  # fmt: skip


async def test_they_agree_on_one_seed(sink: Sink, plan: SwarmPlan) -> None:
    sink.answer = moody
    mixed = replace(
        plan, orders=30, users=30, mix=MIX, retry_time_scale=1e-3, rotate_after=20,
        create_webhook="/webhooks/orders/create", cancel_webhook="/webhooks/orders/cancelled",
    )  # fmt: skip
    histories, arrived, heads = [], [], []
    for transport in ("locust", "pump"):
        sink.received.clear()
        sink.bodies.clear()
        sink.headers.clear()
        folder = plan.history / transport
        sent = await send(replace(mixed, transport=transport, history=folder), "the next one")
        histories.append(told(sent))
        arrived.append((dict(sink.received), {one: set(two) for one, two in sink.bodies.items()}))
        heads.append({attempt: one.copy() for attempt, one in sink.headers.items()})
        assert [(one.planned_orders, one.shed_orders) for one in sent.ends] == [(30, 0)]
    assert histories[0] == histories[1]
    assert {one[13] for one in histories[0].values()} == set(Outcome)
    assert arrived[0] == arrived[1]
    assert max(arrived[0][0].values()) == 1
    for one in heads[0].values():
        assert one.pop("Accept-Encoding")  # Locust's own; Shopify has another
        one.pop("X-Shopify-Hmac-Sha256", None)  # which secret signs hangs on who came first
    for one in heads[1].values():
        one.pop("X-Shopify-Hmac-Sha256", None)
    assert heads[0] == heads[1]


@pytest.mark.parametrize("transport", ["pump", "locust"])
async def test_a_refused_and_a_resent_delivery_read_alike(
    transport: str, sink: Sink, plan: SwarmPlan
) -> None:
    async def lose_once(request: web.Request, attempt: int) -> web.StreamResponse:
        if attempt == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    sink.answer = lose_once
    history = await send(replace(plan, transport=transport))
    assert history.outcomes(1) == {Outcome.INFO}
    assert history.outcomes(2) == {Outcome.OK}
    assert set(sink.received.values()) == {1}


async def test_a_run_whose_pump_was_killed_ends_and_has_failed(sink: Sink, plan: SwarmPlan) -> None:
    log = plan.history.parent / "locust.log"
    swarm = await Swarm.start(replace(plan, orders=0), secret=SECRET, log=log, environment={})
    try:
        while not sink.received:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        (pump,) = psutil.Process(swarm.pid).children()
        assert SECRET not in pump.environ().values()
        pump.kill()
        with pytest.raises(Exception, match="status 2"):
            await swarm.wait(timeout_seconds=20)
    finally:
        await swarm.stop()
    assert "the pump ended by itself" in log.read_text()
    lines = (plan.history / "history-0.jsonl").read_bytes().splitlines()
    records = [READER.decode(line) for line in lines]
    assert {type(one) for one in records} <= {Intent, Completion}  # no last line
    assert set(sink.received) <= {one.attempt_id for one in records if isinstance(one, Intent)}


async def test_ctrl_c_in_a_terminal_ends_both_in_order(sink: Sink, plan: SwarmPlan) -> None:
    """A terminal sends it to the whole group; with workers, to all of theirs."""
    arguments = replace(plan, orders=0, per_second=200.0).arguments()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", *arguments, "--processes", "2", cwd=ROOT,
        env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET}, start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        while len(sink.received) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 4  # two workers, a pump each
        os.killpg(process.pid, signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert b"Traceback" not in errors
    history = read(plan.history)  # each has its last line
    assert len(history.ends) == 2
    assert set(history.completions) == {one.attempt_id for one in history.intents}
    assert set(sink.received) == set(history.completions)
    assert not [one for one in family if one.is_running()]


@pytest.mark.parametrize(("transport", "status"), [("pump", 0), ("locust", 2)])
async def test_last_bytes_can_be_released_by_themselves(
    transport: str, status: int, sink: Sink, plan: SwarmPlan
) -> None:
    arguments = replace(plan, orders=60, transport=transport).arguments()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", *arguments, "--release", "last-byte", cwd=ROOT,
        env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET}, start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == status
    if status:
        assert b"only the pump can" in errors
        assert not sink.received
        return
    history = read(plan.history)
    assert history.outcomes() == {Outcome.OK}
    ahead = [
        (one.intended_ns - (history.completions[one.attempt_id].sent_ns or 0)) / 1e6
        for one in history.intents
    ]
    assert 0 < max(ahead) < 6  # milliseconds, of those that were not late
    assert set(sink.received.values()) == {1}
    assert len(sink.received) == 120
