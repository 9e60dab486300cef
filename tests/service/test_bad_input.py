"""Ten thousand bad requests: every answer is a 4xx and the database does not change."""

import asyncio
import base64
import contextlib
import gzip
import json
import random
from collections import Counter
from typing import Any

import pytest
from service_support import (
    OLD_SECRET,
    ORDER_ID,
    SHOP,
    FakeProvider,
    Running,
    headers,
    order,
    sign,
    start_app,
)

from service import app

REQUESTS = 10_200
PATHS = ("/webhooks/orders/paid", "/webhooks/orders/create", "/webhooks/orders/cancelled")
# Never usable in the place of any required field of an order.
WRONG: tuple[Any, ...] = (
    None, True, False, -1, 2**63, 2**64, -(2**70), 10**400, 1.5, 1e300, "", "1", "\x00", "é\x00",
    [], [[]], {}, {"id": 1}, "9" * 300, "\u202e\U0001f4a9",
)  # fmt: skip


def _wrong_types(rng: random.Random) -> bytes:
    """Correctly formed JSON in which at least one needed field is unusable."""
    body = json.loads(order())
    spoiled = rng.choice(("id", "line_items", "quantity", "sku", "price", "top"))
    if spoiled == "id":
        body["id"] = rng.choice([*WRONG, 0])
    elif spoiled == "line_items":
        body["line_items"] = rng.choice([w for w in WRONG if w != []] + [[1], [None], ["x"]])
    elif spoiled == "quantity":
        body["line_items"][0]["quantity"] = rng.choice([*WRONG, 1_000_001])
    elif spoiled == "sku":
        body["line_items"][1]["sku"] = rng.choice(
            [1, True, [], {}, 1.5, "\x00", "a\x00b", "x" * 256]
        )
    elif spoiled == "price":
        body["total_price"] = rng.choice([1, 1.5, [], {}, "NaN", "1e9", "-1", "1\n", "٣", "9" * 40])
    else:
        return json.dumps(rng.choice(WRONG)).encode()
    return json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()


def _garbage(rng: random.Random) -> bytes:
    """Bytes that are no JSON, and JSON that hurts parsers."""
    return rng.choice(
        (
            rng.randbytes(rng.randrange(0, 2000)),
            order()[: rng.randrange(0, len(order()) - 1)],
            order() + b"x",
            b"\xef\xbb\xbf" + order(),
            order().decode().encode("utf-16"),
            order().replace(b"null", b"NaN"),
            order().replace(b'"note": null', b'"note": "\\ud800"'),
            order().replace(b'"note": null', b'"note": "\xff\xfe"'),
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"id":' + b"9" * 10_000 + b',"line_items":[]}',
            gzip.compress(order()),
            b"\x00" * 100,
            json.dumps({"id": 1, "line_items": [{"quantity": 1, "sku": "x"}] * 1001}).encode(),
        )
    )


def _mutated(rng: random.Random) -> bytes:
    body = bytearray(order())
    for _ in range(rng.randrange(1, 4)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body) if bytes(body) != order() else b"{"


def _request(rng: random.Random) -> tuple[bytes, dict[str, str], set[int]]:
    """A body, its headers, and the statuses that are right for it."""
    kind = rng.randrange(8)
    if kind == 0:
        body = _wrong_types(rng)
        return body, headers(body), {400}
    if kind == 1:
        body = _garbage(rng)
        return body, headers(body), {400}
    if kind == 2:
        return _mutated(rng), headers(order()), {401}
    if kind == 3:
        good = sign(order())
        signature = rng.choice(
            (
                "",
                "=",
                "é",
                good[:-4],
                good.lower(),
                good + "=",
                good.rstrip("="),
                "x" * 5000,
                base64.b64encode(rng.randbytes(rng.randrange(64))).decode(),
                sign(order(), b"other"),
            )
        )
        return order(), {**headers(order()), "X-Shopify-Hmac-Sha256": signature}, {401}
    if kind == 4:
        changed = headers(order())
        del changed["X-Shopify-Hmac-Sha256"]
        return _garbage(rng), changed, {401}
    if kind == 5:
        name = rng.choice(("X-Shopify-Webhook-Id", "X-Shopify-Shop-Domain"))
        changed = headers(order())
        del changed[name]
        if rng.random() < 0.8:
            # A client trims spaces around a value, so none of these is only spoiled by them.
            values = ("", " ", "é", "a b", "x" * 200, "\u202e", "a\tb", "a'-- b", "💩.example")
            changed[name] = rng.choice(values)
        return order(), changed, {400}
    if kind == 6 and rng.random() < 0.02:
        body = b" " * (1024 * 1024 + rng.randrange(1, 1000)) + order()
        return body, headers(body), {413}
    encoding = rng.choice(("gzip", "deflate"))
    body = rng.choice((gzip.compress(order()), gzip.compress(order())[:30], rng.randbytes(50)))
    return body, {**headers(body), "Content-Encoding": encoding}, {400}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_ten_thousand_bad_requests_get_a_4xx_and_change_nothing(running: Running) -> None:
    rng = random.Random(3)
    answers: Counter[int] = Counter()
    wrong: list[tuple[int, set[int], bytes, dict[str, str]]] = []

    async def send_share(share: int) -> None:
        for _ in range(share):
            body, with_headers, right = _request(rng)
            status = await running.post(rng.choice(PATHS), body, with_headers)
            answers[status] += 1
            if status not in right:
                wrong.append((status, right, body[:300], with_headers))

    await asyncio.gather(*(send_share(REQUESTS // 12) for _ in range(12)))
    assert not wrong, wrong[:3]
    assert answers.total() == REQUESTS
    assert set(answers) == {400, 401, 413}
    assert min(answers.values()) > 5
    assert await running.counts() == {
        "paid": 0, "fulfillments": 0, "movements": 0, "taken": 0, "log": 0,
    }  # fmt: skip
    assert await running.pool.fetchval("SELECT count(*) FROM orders") == 0


@pytest.mark.parametrize("ingest", ["aiohttp", "fast"])
async def test_broken_http_gets_a_4xx_or_no_answer(
    service_dsn: str, provider: FakeProvider, ingest: str
) -> None:
    async with start_app(service_dsn, provider, "insert_first", ingest=ingest) as running:
        await _send_broken_http(running)
        assert await running.paid(order()) == 200


async def _send_broken_http(running: Running) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    good = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\n"
    for raw in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        (good + "Content-Length: -1\r\n\r\n").encode(),
        (good + "Content-Length: x\r\n\r\n").encode(),
        (good + f"Content-Length: {'0' * 5000}2\r\n\r\n{{}}").encode(),
        (good + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").encode(),
        (good + "Transfer-Encoding: chunked\r\n\r\nzz\r\n").encode(),
        (good + "X: " + "y" * 20_000 + "\r\n\r\n").encode(),
        (good + "Content-Length: 100\r\n\r\ntruncated").encode(),
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
        assert not answer or answer.split()[1].startswith(b"4"), (raw[:80], answer)
        writer.close()


async def test_a_chunked_body_over_the_limit_gets_413(running: Running) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    async with running.http.post(
        running.url + PATHS[0], data=chunks(), headers=headers(b"")
    ) as reply:
        assert reply.status == 413


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_the_limits_themselves_are_accepted(running: Running) -> None:
    assert await running.paid(order(2**63 - 1)) == 200
    assert await running.paid(order(1, [])) == 200
    assert await running.paid(order(2, [("UNKNOWN-é-💩", 1_000_000)] * 1000)) == 200
    body = order(3)
    assert await running.paid(body + b" " * (1024 * 1024 - len(body))) == 200
    assert await running.pool.fetchval("SELECT max(order_id) FROM orders") == 2**63 - 1


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_both_secrets_are_accepted_during_a_rotation(running: Running) -> None:
    old = {"X-Shopify-Hmac-Sha256": sign(order(), OLD_SECRET)}
    assert await running.paid(order(), **old) == 200
    assert await running.paid(order()) == 200


async def test_the_signature_covers_the_raw_bytes(service_dsn: str, provider: FakeProvider) -> None:
    escaped = order().replace(b'"note": null', b'"note": "gid:\\/\\/shopify\\/Order\\/1"')
    rewritten = json.dumps(json.loads(escaped)).encode()
    async with start_app(service_dsn, provider, "insert_first") as running:
        assert await running.paid(escaped) == 200
        assert await running.post(PATHS[0], rewritten, headers(escaped)) == 401
        where = "SELECT shop FROM orders WHERE order_id = $1"
        assert await running.pool.fetchval(where, ORDER_ID) == SHOP


async def test_a_body_that_does_not_come_is_not_waited_for(
    service_dsn: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_TIMEOUT_SECONDS", 0.05)
    async with start_app(service_dsn, provider, "insert_first") as running:
        host, _, port = running.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = "\r\n".join(f"{name}: {text}" for name, text in headers(order()).items())
        begin = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n{head}\r\n\r\n"
        writer.write(begin.encode() + b"{")
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()
        assert (await running.counts())["log"] == 0
