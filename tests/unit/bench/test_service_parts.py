"""The generator's bytes, its two loops and its figures; and when books are called exact."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scenarios.engine.bench.hammer import FIRST_ORDER, SECRET, hammer, requests
from scenarios.engine.bench.shop import Books
from service.webhook import authenticate, parse

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def answering(
    answer: bytes, pause_seconds: float = 0.0
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that takes whole requests and keeps their bodies; it answers in two pieces."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                await asyncio.sleep(pause_seconds)
                writer.write(answer[:20])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(answer[20:])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], bodies
    finally:
        server.close()


def test_each_request_is_an_order_of_its_own_that_our_service_lets_in() -> None:
    ids, skus = set(), set()
    for own, shared in requests(250, 1):
        head, _, begin = own.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        body = begin + shared
        assert int(headers["Content-Length"]) == len(body)
        authenticate(body, headers["X-Shopify-Hmac-Sha256"], (SECRET,))
        webhook = parse(body, headers, "orders/paid")
        ids.add((webhook.order_id, webhook.webhook_id))
        skus |= set(webhook.lines)
    assert len(ids) == 250
    assert len(skus) == 100
    assert len({float(order_id) for order_id, _ in ids}) == 250  # what JavaScript sees
    assert 4_000 < len(body) < 7_000


async def test_a_closed_loop_counts_what_was_acknowledged() -> None:
    async with answering(ANSWER) as (port, bodies):
        found = await hammer(requests(500, port), port, 4, 0.3, 0.0, 1)
    assert 4 <= found["ok"] <= 500
    assert found["ok"] == found["sent"] == len(set(bodies))
    assert found["failed"] == 0


async def test_a_refusal_is_no_acknowledgement() -> None:
    refusal = ANSWER.replace(b"200 OK", b"503 No")
    async with answering(refusal) as (port, _):
        found = await hammer(requests(50, port), port, 2, 0.1, 0.0, 1)
    assert (found["ok"], found["kept"]) == (0, 0)
    assert found["failed"] > 0


@pytest.mark.parametrize(("pause", "late"), [(0.0, False), (0.05, True)])
async def test_a_latency_begins_when_its_request_was_due(pause: float, late: bool) -> None:
    """Two connections can carry forty a second; two hundred are due."""
    async with answering(ANSWER, pause) as (port, _):
        found = await hammer(requests(400, port), port, 2, 1.0, 200.0, 1)
    assert (found["p99_ms"] > 500) is late
    assert (found["kept"] < 0.95) is late


@pytest.mark.parametrize(
    ("books", "acknowledged", "sent", "exact"),
    [
        (Books(5, 5, 5, 5, 5), 5, 5, True),
        (Books(5, 5, 5, None, None), 5, 5, True),
        (Books(6, 6, 6, 6, 6), 5, 7, True),  # one was sent and not answered any more
        (Books(5, 6, 5, 5, 5), 5, 5, False),
        (Books(5, 5, 5, 5, 4), 5, 5, False),
        (Books(4, 4, 4, 4, 4), 5, 5, False),
        (Books(6, 6, 6, 6, 6), 5, 5, False),
    ],
)
def test_books_are_exact_or_say_why_not(
    books: Books, acknowledged: int, sent: int, exact: bool
) -> None:
    assert (books.wrong(acknowledged, sent) == "") is exact


def test_the_first_order_is_one_that_the_wire_knows() -> None:
    assert str(FIRST_ORDER).startswith("91")
    assert len(str(FIRST_ORDER)) == 18
