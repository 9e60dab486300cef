"""The fast lane on a real socket: its order, limits, times, and how it gives a connection away."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from service_support import ORDER_ID, FakeProvider, Running, headers, order, start_app

from service import fast_lane
from service.database import TRANSIENT_ERRORS

PAID = "/webhooks/orders/paid"


def request(body: bytes, path: str = PAID, more: str = "", length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers(body).items())
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}{more}Content-Length: {told}\r\n\r\n"
    return head.encode() + body


def statuses(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


@pytest.fixture(params=["group", "insert_first"])
async def fast(
    service_dsn: str, provider: FakeProvider, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    async with start_app(service_dsn, provider, request.param, ingest="fast") as running:
        yield running


@contextlib.asynccontextmanager
async def client(
    running: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = running.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def read_answers(reader: asyncio.StreamReader, number: int) -> bytes:
    said = b""
    while len(statuses(said)) < number or not said.endswith(b"}"):
        more = await reader.read(1 << 16)
        assert more, said
        said += more
    return said


@contextlib.contextmanager
def only(running: Running) -> Iterator[None]:
    """Nothing goes to aiohttp in the meantime."""
    lane = running.lane
    others, lane.others = lane.others, None  # type: ignore[assignment]
    try:
        yield
    finally:
        lane.others = others


async def test_answers_come_in_the_order_of_their_requests(fast: Running) -> None:
    bodies = [order(ORDER_ID + n // 2) for n in range(100)]
    async with client(fast) as (reader, writer):
        with only(fast):
            writer.write(b"".join(request(body) for body in bodies))
            said = await read_answers(reader, 100)
    outcomes = re.findall(rb'"outcome":"([a-z ]+)"', said)
    for pair in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert set(pair) == {b"fulfillment requested", b"duplicate order"}
    counts = await fast.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (50, 50, 150)


async def test_refusals_are_those_of_the_deliveries(fast: Running) -> None:
    body = order()
    with only(fast):
        assert await fast.paid(body, **{"X-Shopify-Hmac-Sha256": "x"}) == 401
        assert await fast.paid(b"{") == 400
        assert await fast.paid(body, "a b") == 400
        assert await fast.paid(body) == 200
    async with fast.http.get(f"{fast.url}/metrics") as reply:
        told = await reply.text()
    for status in (200, 400, 401):
        assert f'webhook_answers_total{{status="{status}",topic="orders/paid"}}' in told


async def test_what_is_not_plain_is_answered_behind_what_is(fast: Running) -> None:
    chunked = request(order()).replace(b"Content-Length: 0", b"").partition(b"\r\n\r\n")[0]
    chunked = re.sub(rb"Content-Length: [0-9]+", b"Transfer-Encoding: chunked", chunked)
    body = order()
    chunked += b"\r\n\r\n" + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    async with client(fast) as (reader, writer):
        writer.write(request(order()) + chunked + request(order(), "/webhooks/orders/cancelled"))
        said = await read_answers(reader, 3)
        assert statuses(said) == [200] * 3
        assert re.findall(rb'"outcome":"([a-z ]+)"', said) == [
            b"fulfillment requested", b"duplicate order", b"order already paid",
        ]  # fmt: skip


async def test_who_asks_before_he_sends_is_told_to_go_on(fast: Running) -> None:
    whole = request(order(), more="Expect: 100-continue\r\n")
    head, _, body = whole.partition(b"\r\n\r\n")
    async with client(fast) as (reader, writer):
        writer.write(head + b"\r\n\r\n")
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        assert statuses(await read_answers(reader, 1)) == [200]


async def test_a_body_over_the_limit_is_refused_before_it_came(fast: Running) -> None:
    async with client(fast) as (reader, writer):
        writer.write(request(b"{}", length=1024 * 1024 + 1))
        assert statuses(await read_answers(reader, 1)) == [413]
    body = order()
    assert await fast.paid(body + b" " * (1024 * 1024 - len(body))) == 200


@pytest.mark.parametrize("left", [1, 100], ids=["body", "head"])
async def test_what_does_not_come_is_not_waited_for(
    fast: Running, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr(fast_lane, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(fast_lane, "BODY_SECONDS", 0.05)
    whole = request(order())
    if left == 100:
        whole = whole.partition(b"\r\n\r\n")[0]
    async with client(fast) as (reader, writer):
        writer.write(request(order()) + whole[:-left])
        said = await reader.read()  # to its end
        assert statuses(said) == [200, 408]
        assert b"Connection: close" in said
    assert (await fast.counts())["paid"] == 1


async def test_who_is_silent_is_not_kept(fast: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_lane, "IDLE_SECONDS", 0.05)
    async with client(fast) as (reader, _):
        assert await reader.read() == b""
    assert not fast.lane.connections


async def test_a_slow_strategy_is_no_silence(
    fast: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(fast_lane, name, 0.02)
    async with fast.pool.acquire() as holder:
        await holder.execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        async with client(fast) as (reader, writer):
            writer.write(request(order()))
            await asyncio.sleep(0.2)  # ten times as long as anything may be silent
            await holder.execute("COMMIT")
            assert statuses(await reader.read()) == [200]  # and then it is


async def test_who_sends_without_end_is_not_read_without_end(
    fast: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_lane, "PIPELINED_MAX", 4)
    async with fast.pool.acquire() as holder:
        await holder.execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        async with client(fast) as (reader, writer):
            bodies = [order(ORDER_ID + n) + b" " * 100_000 for n in range(100)]
            writer.write(b"".join(map(request, bodies)))
            await asyncio.sleep(0.3)
            (connection,) = fast.lane.connections
            assert len(connection._turns) == 4
            assert len(connection._rest) < 1_000_000  # of ten
            await holder.execute("COMMIT")
            assert statuses(await read_answers(reader, 100)) == [200] * 100
    assert (await fast.counts())["paid"] == 100


async def test_who_does_not_read_is_not_read(fast: Running) -> None:
    async with client(fast) as (reader, writer):
        (connection,) = fast.lane.connections
        connection.pause_writing()
        writer.write(request(order()))
        await asyncio.sleep(0.1)
        assert not connection._turns
        connection.resume_writing()
        assert statuses(await read_answers(reader, 1)) == [200]


async def test_who_never_reads_is_cut_off(fast: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_lane, "IDLE_SECONDS", 0.05)
    async with client(fast) as (reader, writer):
        (connection,) = fast.lane.connections
        connection.pause_writing()
        writer.write(request(order()))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert not fast.lane.connections


async def test_a_client_that_leaves_takes_nothing_with_it(fast: Running) -> None:
    async with fast.pool.acquire() as holder:
        await holder.execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        async with client(fast) as (_, writer):
            writer.write(request(order()) + request(order(ORDER_ID + 1)))
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await holder.execute("COMMIT")
    with contextlib.suppress(*TRANSIENT_ERRORS):
        async with asyncio.timeout(10):
            while fast.lane.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert (await fast.counts())["paid"] == 2
    assert await fast.paid(order()) == 200


async def test_draining_answers_what_is_under_way_and_takes_nothing_more(fast: Running) -> None:
    async with (
        fast.pool.acquire() as holder,
        client(fast) as (idle, _),
        client(fast) as (reader, writer),
    ):
        await holder.execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        writer.write(request(order()) + request(order(ORDER_ID + 1))[:300])
        async with asyncio.timeout(10):
            while not any(connection._turns for connection in fast.lane.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        draining = asyncio.create_task(fast.lane.drain(10))
        assert await idle.read() == b""
        with pytest.raises(OSError):
            async with client(fast):
                pass
        assert not draining.done()
        await holder.execute("COMMIT")
        said = await reader.read()
        assert statuses(said) == [200]
        await draining
    assert (await fast.counts())["paid"] == 1


async def test_a_drain_ends_in_time(fast: Running) -> None:
    async with fast.pool.acquire() as holder, client(fast) as (reader, writer):
        await holder.execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        writer.write(request(order()))
        await asyncio.sleep(0.1)
        await fast.lane.drain(0.05)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert not fast.lane.connections
        await holder.execute("COMMIT")
