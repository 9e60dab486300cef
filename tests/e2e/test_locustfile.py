"""The locustfile against a service that counts every request it reads."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import psutil
import pytest
from aiohttp import web

from loadtests.swarm import ROOT, Swarm, SwarmPlan
from results.records import Outcome
from tests.e2e.sink import SECRET, History, Sink, plan, read, send, sink

__all__ = ["plan", "sink"]  # fixtures


def honest(history: History, sink: Sink) -> None:
    """Received at most once each; what was sent and not received is `info` or `fail`."""
    sent = {intent.attempt_id for intent in history.intents}
    assert len(sent) == len(history.intents) == len(history.completions)
    assert set(sink.received) <= sent
    assert set(sink.received.values()) <= {1}
    for attempt_id in sent - set(sink.received):
        assert history.completions[attempt_id].outcome is not Outcome.OK
    assert all(len(bodies) == 1 for bodies in sink.bodies.values())
    assert sink.forged == 0


async def test_every_copy_arrives_once_at_another_replica(sink: Sink, plan: SwarmPlan) -> None:
    history = await send(replace(plan, create_webhook="/webhooks/orders/create"))
    honest(history, sink)
    assert Counter(sink.topics) == {"orders/create": 12, "orders/paid": 24}
    assert history.outcomes() == {Outcome.OK}
    bursts = defaultdict(list)
    for intent in history.intents:
        if intent.topic == "orders/paid":
            bursts[intent.group_id].append(intent)
    for first, second in bursts.values():
        assert first.target != second.target
        assert first.webhook_id != second.webhook_id
        assert first.event_id == second.event_id
        assert first.intended_ns == second.intended_ns
        assert history.completions[first.attempt_id].sent_ns is not None
    assert [(end.planned_orders, end.sent_orders, end.shed_orders) for end in history.ends] == [
        (12, 12, 0)
    ]


async def test_who_waits_for_a_free_user_is_late_and_who_waits_for_an_answer_is_not(
    sink: Sink, plan: SwarmPlan
) -> None:
    """Both are counted from the planned time; only the sender's own part is its lateness."""

    async def slowly(request: web.Request, _attempt: int) -> web.StreamResponse:
        if request.headers["X-Shopify-Topic"] == "orders/create":
            await asyncio.sleep(0.3)
        return web.json_response({})

    sink.answer = slowly
    crowded = replace(plan, create_webhook="/webhooks/orders/create", orders=4, users=1)
    history = await send(replace(crowded, per_second=1_000.0, copies=1))
    own, waited = [], []
    for intent in history.intents:
        sent_ns = history.completions[intent.attempt_id].sent_ns
        if intent.topic == "orders/paid" and sent_ns is not None:
            own.append((sent_ns - intent.intended_ns - intent.waited_ns) / 1e9)
            waited.append(intent.waited_ns / 1e9)
    assert len(own) == 4
    assert waited[0] == 0  # the first one had a second before its time
    assert min(waited[1:]) > 0.25
    assert own[0] < 0.2
    assert own[3] > 0.55  # two orders before it, 0.3 s each, after all were due


async def test_a_connection_lost_after_reading_is_info_and_is_never_resent_by_the_client(
    sink: Sink, plan: SwarmPlan
) -> None:
    async def lose_twice(request: web.Request, attempt: int) -> web.StreamResponse:
        if attempt <= 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    sink.answer = lose_twice
    history = await send(replace(plan, ids="same"))
    honest(history, sink)
    assert history.outcomes(1) == history.outcomes(2) == {Outcome.INFO}
    assert history.outcomes(3) == {Outcome.OK}
    assert set(sink.received) == {intent.attempt_id for intent in history.intents}


async def test_a_body_cut_short_behind_a_200_is_no_acknowledgement(
    sink: Sink, plan: SwarmPlan
) -> None:
    async def cut(request: web.Request, attempt: int) -> web.StreamResponse:
        if attempt > 1:
            return web.json_response({})
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    sink.answer = cut
    history = await send(plan)
    honest(history, sink)
    assert history.outcomes(1) == {Outcome.INFO}
    assert history.outcomes(2) == {Outcome.OK}


async def test_a_huge_answer_is_read_to_its_end_and_kept_nowhere(
    sink: Sink, plan: SwarmPlan
) -> None:
    chunk, chunks = b"." * (1 << 20), 80
    resident = []

    async def flood(request: web.Request, _attempt: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(chunk) * chunks)})
        await response.prepare(request)
        for _ in range(chunks):
            await response.write(chunk)
        resident.append(psutil.Process(swarm.pid).memory_info().rss >> 20)
        return response

    sink.answer = flood
    log = plan.history.parent / "locust.log"
    swarm = await Swarm.start(replace(plan, orders=1), secret=SECRET, log=log, environment={})
    try:
        await swarm.wait(timeout_seconds=60)
    finally:
        await swarm.stop()
    assert read(plan.history).outcomes() == {Outcome.OK}
    assert max(resident) < 2 * chunks, "MiB: two answers were kept"


async def test_five_seconds_are_for_the_whole_request(sink: Sink, plan: SwarmPlan) -> None:
    async def trickle(request: web.Request, _attempt: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):  # each byte comes well within the timeout of one read
                await response.write(b".")
                await asyncio.sleep(0.4)
        return response

    sink.answer = trickle
    history = await send(replace(plan, orders=2, retries=0))
    honest(history, sink)
    assert history.outcomes() == {Outcome.INFO}
    for completion in history.completions.values():
        assert completion.sent_ns is not None
        assert completion.status is None
        assert 4.5 < (completion.done_ns - completion.sent_ns) / 1e9 < 6.5


async def test_redirects_and_errors_are_retried_but_not_followed(
    sink: Sink, plan: SwarmPlan
) -> None:
    async def refuse(_request: web.Request, attempt: int) -> web.StreamResponse:
        if attempt == 1:
            return web.Response(status=307, headers={"Location": "/elsewhere"})
        return web.Response(status=500 if attempt == 2 else 204)

    sink.answer = refuse
    history = await send(plan)
    honest(history, sink)
    assert sink.followed == 0
    assert history.outcomes(1) == history.outcomes(2) == {Outcome.INFO}
    assert history.outcomes(3) == {Outcome.OK}
    assert {completion.status for completion in history.completions.values()} == {307, 500, 204}


async def test_a_refused_connection_has_sent_nothing(plan: SwarmPlan) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody takes it
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        history = await send(replace(plan, orders=2, retries=2, targets={"web-0": url}))
    assert len(history.intents) == 2 * 2 * 3
    assert {completion.sent_ns for completion in history.completions.values()} == {None}
    assert {completion.outcome for completion in history.completions.values()} == {Outcome.FAIL}


async def test_a_stopped_swarm_answers_what_is_in_flight_and_closes_its_history(
    sink: Sink, plan: SwarmPlan
) -> None:
    begun = asyncio.Event()

    async def note(_request: web.Request, _attempt: int) -> web.StreamResponse:
        begun.set()
        return web.Response(status=500)  # a retry is always waiting

    sink.answer = note
    log = plan.history.parent / "locust.log"
    endless = replace(plan, orders=0, retry_time_scale=1.0)
    swarm = await Swarm.start(endless, secret=SECRET, log=log, environment={})
    try:
        await asyncio.wait_for(begun.wait(), 30)
        os.kill(swarm.pid, signal.SIGTERM)
        await swarm.wait(timeout_seconds=20)
    finally:
        await swarm.stop()
    history = read(plan.history)
    honest(history, sink)
    assert len({intent.order_id for intent in history.intents}) == history.ends[0].sent_orders


async def test_an_endless_swarm_ends_when_its_history_is_full(sink: Sink, plan: SwarmPlan) -> None:
    small = plan.history.parent / "small.py"
    small.write_text(
        "from loadtests import recorder\n"
        "recorder.HISTORY_MAX_BYTES = 20_000\n"
        "from loadtests.locustfile import PaidWebhook\n"
    )
    arguments = replace(plan, orders=0).arguments()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "-f", str(small), *arguments, cwd=ROOT,
        env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert "no more orders are sent" in errors.decode()
    history = read(plan.history)
    honest(history, sink)
    assert (plan.history / "history-0.jsonl").stat().st_size < 40_000


async def test_two_processes_share_the_orders_and_send_no_id_twice(
    sink: Sink, plan: SwarmPlan
) -> None:
    report = plan.history.parent / "locust.html"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", *plan.arguments(), "--processes", "2", "--html",
        str(report), cwd=ROOT, env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET},
        stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    history = read(plan.history)
    honest(history, sink)
    assert sorted(end.worker for end in history.ends) == [0, 1]
    assert sum(end.sent_orders for end in history.ends) == 12
    assert len({intent.order_id for intent in history.intents}) == 12
    assert report.stat().st_size > 10_000


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["alone", "with workers"])
@pytest.mark.parametrize(
    ("given", "said"), [({"SHOPIFY_SHARED_SECRET": ""}, "SHOPIFY_SHARED_SECRET"), ({}, "--rate")]
)
async def test_plain_locust_finds_the_locustfile_and_names_what_is_wrong(
    given: dict[str, str], said: str, more: tuple[str, ...]
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "--headless", "--host", "http://127.0.0.1:1", "--rate",
        "0", *more, cwd=ROOT, env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET, **given},
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _, stderr = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 1
    assert said in stderr.decode()
