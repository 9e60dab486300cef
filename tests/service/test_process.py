"""The real process: start before the database, drain on SIGTERM, refuse wrong settings."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from service_support import ORDER_ID, SECRET, FakeProvider, headers, order

from service.relays import relay_names

ROOT = Path(__file__).parents[2]
PAID = "/webhooks/orders/paid"


def _free_port() -> int:
    with socket.socket() as probe:
        for port in range(25_000 + os.getpid() % 5_000, 32_700):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port")


@contextlib.asynccontextmanager
async def _process(role: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", role,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _said(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while word not in (await process.stdout.readline()).decode():
            assert process.returncode is None


def _web(dsn: str, port: int, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "PORT": str(port),
        "SHOPIFY_SHARED_SECRET": SECRET.decode(),
        "FULFILLMENT_URL": "http://127.0.0.1:9/shipments",
        **more,
    }


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    try:
        async with http.get(url) as reply:
            return reply.status
    except aiohttp.ClientError:
        return 0


async def _until(http: aiohttp.ClientSession, url: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while await _status(http, url) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ingest", ["aiohttp", "fast"])
@pytest.mark.parametrize("strategy", ["insert_first", "group"])
async def test_sigterm_fails_readiness_finishes_the_deliveries_and_exits_0(
    empty_dsn: str, strategy: str, ingest: str
) -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = _web(empty_dsn, port, STRATEGY=strategy, INGEST=ingest)
    async with _process("web", **environment) as process, aiohttp.ClientSession() as http:
        await _until(http, f"{url}/readyz", 200)
        holder = await asyncpg.connect(empty_dsn)
        holding = holder.transaction()
        await holding.start()
        await holder.execute("LOCK TABLE orders IN EXCLUSIVE MODE")
        bodies = [order(ORDER_ID + n) for n in range(5)]  # the last ones wait behind the first
        deliveries = [
            asyncio.create_task(http.post(url + PAID, data=body, headers=headers(body)))
            for body in bodies
        ]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(10):
            while not await holder.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        await _until(http, f"{url}/readyz", 503)
        await _until(http, f"{url}/healthz", 0)  # the listener is closed, the delivery still waits
        assert not any(delivery.done() for delivery in deliveries)
        await holding.commit()
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*deliveries)
            assert [answer.status for answer in answers] == [200] * 5
            assert await process.wait() == 0
        assert await holder.fetchval("SELECT count(*) FROM fulfillment_requests") == 5
        await holder.close()


async def test_web_is_alive_but_not_ready_without_a_database() -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    unreachable = "postgresql://postgres@127.0.0.1:9/none"
    async with (
        _process("web", **_web(unreachable, port)) as process,
        aiohttp.ClientSession() as http,
    ):
        await _until(http, f"{url}/healthz", 200)
        assert await _status(http, f"{url}/readyz") == 503
        assert await _status(http, f"{url}/metrics") == 200
        async with http.post(url + PAID, data=order(), headers=headers(order())) as reply:
            assert reply.status == 503
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_schema_may_be_applied_by_several_at_once(empty_dsn: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(_process("schema", DATABASE_URL=empty_dsn))
            for _ in range(3)
        ]
        async with asyncio.timeout(30):
            assert [await process.wait() for process in started] == [0, 0, 0]
    connection = await asyncpg.connect(empty_dsn)
    assert await connection.fetchval("SELECT count(*) FROM stock") == 100
    await connection.close()


@pytest.mark.parametrize("relay", relay_names())
async def test_two_relay_processes_ship_every_row_and_stop(
    service_dsn: str, provider: FakeProvider, relay: str
) -> None:
    connection = await asyncpg.connect(service_dsn)
    environment = {"DATABASE_URL": service_dsn, "FULFILLMENT_URL": provider.url, "RELAY": relay}
    async with (
        _process("relay", **environment) as one,
        _process("relay", **environment) as two,
    ):
        await _said(one, relay)
        await _said(two, relay)
        await connection.execute(
            "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)"
            " SELECT 'a.myshopify.com', n, 'key-' || n, '[]' FROM generate_series(1, 50) AS n"
        )
        unsent = "SELECT count(*) FROM fulfillment_requests WHERE sent_at IS NULL"
        async with asyncio.timeout(20):
            while await connection.fetchval(unsent):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        one.terminate()
        two.terminate()
        async with asyncio.timeout(10):
            assert (await one.wait(), await two.wait()) == (0, 0)
    await connection.close()
    assert len(provider.shipments) == 50
    assert len(provider.calls) == 50 or relay == "poll_ship_mark"


async def test_no_secret_and_no_body_is_in_the_log_of_what_was_unforeseen(service_dsn: str) -> None:
    connection = await asyncpg.connect(service_dsn)
    await connection.execute("CREATE ROLE guest SUPERUSER LOGIN")
    dsn = service_dsn.replace("postgres@", "guest:hushhush@")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        async with (
            _process("web", **_web(dsn, port)) as process,
            aiohttp.ClientSession() as http,
            asyncio.timeout(30),
        ):
            await _until(http, f"{url}/readyz", 200)
            await connection.execute("ALTER ROLE guest NOLOGIN")
            ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            await connection.fetchval(f"{ended} WHERE usename = 'guest'")
            status = 503  # as long as the pool meets connections that were just cut
            while status == 503:
                async with http.post(url + PAID, data=order(), headers=headers(order())) as reply:
                    status = reply.status
            process.terminate()
            said, complaints = await process.communicate()
    finally:
        await connection.execute("DROP ROLE guest")
        await connection.close()
    assert status == 500
    assert b"not permitted to log in" in said
    for hidden in (
        b"hushhush",
        SECRET,
        headers(order())["X-Shopify-Hmac-Sha256"].encode(),
        b"10.50",
    ):
        assert hidden not in said + complaints


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"STRATEGY": "none"}, "insert_first"),
        ({"ISOLATION": "none"}, "repeatable read"),
        ({"INGEST": "none"}, "aiohttp"),
        ({"RELAY": "none"}, "claim_then_ship"),
        ({"PORT": "x"}, "PORT"),
        ({"POOL_SIZE": "nan"}, "POOL_SIZE"),
        ({"SHOPIFY_SHARED_SECRET": ""}, "SHOPIFY_SHARED_SECRET"),
        ({"FULFILLMENT_URL": "x"}, "FULFILLMENT_URL"),
    ],
)
async def test_a_wrong_setting_is_one_sentence_and_exit_2(
    change: dict[str, str], named: str
) -> None:
    environment = {**_web("postgresql://x@127.0.0.1:9/x", 0), **change}
    role = "relay" if "RELAY" in change else "web"
    async with _process(role, **environment) as process, asyncio.timeout(20):
        _, complaint = await process.communicate()
        assert process.returncode == 2
    assert named in complaint.decode()
    assert "Traceback" not in complaint.decode()
    assert complaint.count(b"\n") == 1
