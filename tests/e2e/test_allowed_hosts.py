"""The swarm is sent at nobody who was not named when it was started, from the web form neither."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from cluster.ports import free_port
from loadtests.swarm import ROOT, SwarmPlan
from tests.e2e.sink import SECRET, Sink, plan, read, send, sink

__all__ = ["plan", "sink"]  # fixtures

ELSEWHERE = "127.1"  # leads to this machine, but does not say so


@asynccontextmanager
async def locust(*arguments: str, history: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--history", str(history),
        "--orders", "2", "--create-webhook", "", "--attempts", "1", *arguments,
        cwd=ROOT, env={**os.environ, "SHOPIFY_SHARED_SECRET": SECRET},
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


@pytest.mark.parametrize(
    "aim",
    [
        lambda here: ["--host", f"http://{ELSEWHERE}:{here}"],
        lambda here: ["--targets", f"a=http://127.0.0.1:{here},b=http://{ELSEWHERE}:{here}"],
        lambda here: ["--host", f"http://{ELSEWHERE}:{here}", "--allow-host", "127.10,1"],
        lambda here: ["--host", f"http://{ELSEWHERE}:{here}", "--processes", "2"],
    ],
    ids=["host", "one of the targets", "another is allowed", "with workers"],
)
async def test_a_host_that_was_not_named_is_refused_before_anything_is_sent(
    sink: Sink, tmp_path: Path, aim: Callable[[int], list[str]]
) -> None:
    arguments = aim(sink.ports[0])
    async with locust("--headless", *arguments, history=tmp_path / "run") as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert f"start Locust with --allow-host {ELSEWHERE}" in errors.decode()
    assert not sink.received
    assert not (tmp_path / "run").exists()


async def test_a_host_that_was_named_is_sent_to(sink: Sink, tmp_path: Path) -> None:
    url = f"http://{ELSEWHERE}:{sink.ports[0]}"
    arguments = ("--headless", "--host", url, "--allow-host", f"example.com,{ELSEWHERE}")
    async with locust(*arguments, history=tmp_path / "run") as process:
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert len(read(tmp_path / "run").intents) == len(sink.received) == 4


async def test_the_web_form_cannot_name_another_host(sink: Sink, tmp_path: Path) -> None:
    web_port = free_port()
    form = {"user_count": "2", "spawn_rate": "2", "allow_host": ELSEWHERE}
    here, there = (f"http://{host}:{sink.ports[0]}" for host in ("127.0.0.1", ELSEWHERE))

    async def start(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post("/swarm", data={**form, "host": url}) as answer:
            assert (await answer.json())["success"] is True

    async with (
        locust(
            "--web-host", "127.0.0.1", "--web-port", str(web_port), "--host", here,
            history=tmp_path / "run",
        ) as process,
        aiohttp.ClientSession(f"http://127.0.0.1:{web_port}") as session,
        asyncio.timeout(60),
    ):  # fmt: skip
        while True:
            assert process.returncode is None
            try:
                async with session.get("/") as answer:
                    page = await answer.text()
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
        assert '"copies"' in page
        assert '"allow_host"' not in page
        assert '"extend_while"' not in page
        await start(session, there)
        said = ""
        while "--allow-host 127.1" not in said:
            async with session.get("/logs") as answer:
                said = await answer.text()
        assert not sink.received
        await start(session, here)
        while len(sink.received) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert not list((tmp_path / "run").glob("history-0-2.jsonl"))  # the refused start left none


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_an_answer_and_nothing_more(
    sink: Sink, plan: SwarmPlan, status: int
) -> None:
    async def elsewhere(_request: web.Request, attempt: int) -> web.StreamResponse:
        if attempt > 1:
            return web.json_response({})
        url = f"http://{ELSEWHERE}:{sink.ports[1]}/elsewhere"
        return web.Response(status=status, headers={"Location": url})

    sink.answer = elsewhere
    history = await send(plan)
    assert sink.followed == 0
    assert {one.status for one in history.completions.values()} == {status, 200}
