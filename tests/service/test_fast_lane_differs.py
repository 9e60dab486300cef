"""The fast lane and aiohttp get the same bytes: the same answers must come, or the same refusals.

Both protocols are fed without a network, so that an input is judged in half a millisecond. What a
delivery is asked to do (its body and the headers that matter) is told in its answer, so a body that
was cut in another place shows. 2,000 inputs here; `ONCEPROOF_INPUTS=100000` for a night.
"""

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from odd_requests import Odd
from service_support import SECRET

from service.app import App
from service.fast_lane import Connection, FastLane
from service.settings import Settings
from service.strategies import Answer
from service.webhook import RefusedError

INPUTS = int(os.environ.get("ONCEPROOF_INPUTS", "2000"))
STILL_TURNS = 8  # of the event loop without a change: nothing more comes
HEADERS = ("X-Shopify-Hmac-Sha256", "X-Shopify-Webhook-Id", "X-Shopify-Shop-Domain")


class Reply(NamedTuple):
    """What a client makes of one answer."""

    status: int
    body: bytes
    ends: bool


class End(NamedTuple):
    """All answers on a connection, and whether it was closed."""

    replies: tuple[Reply, ...]
    closed: bool

    @property
    def refused(self) -> bool:
        return self.closed and bool(self.replies) and self.replies[-1].status == 400

    @property
    def answered(self) -> tuple[Reply, ...]:
        """What was said before a refusal."""
        return self.replies[:-1] if self.refused else self.replies


class Echo:
    """Stands where the deliveries are, and answers what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(
        self, topic: str, headers: Mapping[str, str], body: bytes | Callable[[], Awaitable[bytes]]
    ) -> Answer:
        self.asked += 1
        try:
            whole = body if isinstance(body, bytes) else await body()
        except RefusedError as refusal:
            return Answer(refusal.status, refusal.reason)
        asked = repr((topic, [headers.get(name) for name in HEADERS], whole))
        return Answer(200, hashlib.sha256(asked.encode()).hexdigest())


class Pipe(asyncio.Transport):
    """What a protocol writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


async def play(protocol: Any, chunks: Sequence[bytes]) -> End:
    """Feed it until nothing more happens."""
    pipe = Pipe()
    pipe.set_protocol(protocol)
    protocol.connection_made(pipe)
    for chunk in chunks:
        if pipe.closed:
            break
        pipe.protocol.data_received(chunk)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    still, seen = 0, (0, False)
    while still < STILL_TURNS:
        await asyncio.sleep(0)
        now = (len(pipe.written), pipe.closed)
        still, seen = (still + 1 if now == seen else 0), now
    end = End(tuple(replies(bytes(pipe.written))), pipe.closed)
    pipe.closed = True
    pipe.protocol.connection_lost(None)
    return end


def replies(written: bytes) -> Iterator[Reply]:
    """The answers; one to a HEAD has a length and no body, so each begins where one is seen."""
    for one in re.split(rb"(?=HTTP/1\.[01] [1-5][0-9][0-9] [A-Z])", written)[1:]:
        head, _, body = one.partition(b"\r\n\r\n")
        # What is wrong is told with the bytes around it, as they happened to be split.
        status = int(head.split()[1])
        yield Reply(status, body if status == 200 else b"", b"\r\nConnection: close" in head)


class Servers:
    """Both, of one application."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.taken = Echo()
        self._lane = FastLane(self.taken, server)  # type: ignore[arg-type]
        self.handed_over = 0

    async def differ(self, chunks: Sequence[bytes]) -> str:
        """What is not the same; empty if all is."""
        connection = Connection(self._lane)
        fast = await play(connection, chunks)
        slow = await play(self._server(), chunks)
        self.handed_over += connection._odd
        waits_for_a_head = bool(connection._rest) and not connection._odd  # it will get a 408
        if fast == slow:
            return ""
        if slow.refused and (fast.refused or waits_for_a_head):
            # aiohttp forgets the requests that came in one piece with a malformed one.
            alone = await play(self._server(), [bytes((one,)) for one in b"".join(chunks)])
            if fast.answered == alone.answered[: len(fast.answered)]:
                return ""
        return f"{chunks!r}\nfast {fast}\naiohttp {slow}"


@pytest.fixture
async def servers() -> Any:
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    app = App(Settings("", secrets=(SECRET,), strategy="insert_first"), None, None)  # type: ignore[arg-type]
    app.deliveries = Echo()  # type: ignore[assignment]
    runner = app.runner(1)
    await runner.setup()
    yield Servers(runner.server)
    await runner.cleanup()


async def test_odd_requests_are_read_alike(servers: Servers) -> None:
    for number in range(INPUTS):
        odd = Odd(f"odd {number}")
        wrong = await servers.differ(odd.split(odd.input()))
        assert not wrong, f"input {number}: {wrong}"
    assert servers.taken.asked > INPUTS / 4
    assert servers.handed_over > INPUTS / 4


GOOD = b"POST /webhooks/orders/paid HTTP/1.1\r\nHost: x\r\nX-Shopify-Webhook-Id: 1\r\n"
WHOLE = {
    "plain": GOOD + b"Content-Length: 2\r\n\r\n{}",
    "two": (GOOD + b"Content-Length: 2\r\n\r\n{}") * 2,
    "then-health": GOOD + b"Content-Length: 2\r\n\r\n{}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunked": GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "plain-then-chunked": GOOD + b"Content-Length: 2\r\n\r\n{}" + GOOD
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "expect": GOOD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "both": GOOD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1"
    + b"\r\n\r\n",
    "both-spaced": GOOD + b"Content-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "lengths": GOOD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "lengths-alike": GOOD + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "close": GOOD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}" + GOOD,
    "empty": GOOD + b"Content-Length: 0\r\n\r\n",
    "none": GOOD + b"\r\n",
    "too-big": GOOD + b"Content-Length: 1048577\r\n\r\n{}",
    "spaces": GOOD + b"X-Shopify-Hmac-Sha256: \t x \t \r\nContent-Length: 2\r\n\r\n{}",
    "zeros": GOOD + b"Content-Length: %b2\r\n\r\n{}" % (b"0" * 5000),
    "some-zeros": GOOD + b"Content-Length: 002\r\n\r\n{}",
    "folded": GOOD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "bare-lf": GOOD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "old": GOOD.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n\r\n{}",
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
async def test_a_split_at_any_byte_changes_nothing(servers: Servers, name: str) -> None:
    whole = WHOLE[name]
    for at in range(1, len(whole), 1 + len(whole) // 1000):
        wrong = await servers.differ([whole[:at], whole[at:]])
        assert not wrong
    assert not await servers.differ([whole[at : at + 1] for at in range(len(whole))])
