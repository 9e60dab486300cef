"""The one hot route without a task, a request and a response object for each server's layer.

Half of what a delivery costs this process is aiohttp's: streams, requests, routes, responses. The
protocol here stands in front of it and answers the plain requests for orders/paid itself
(`fast_head.py`); what they ask for is done by the same `Deliveries`. Anything else on a connection
(another route, chunks, an Expect, a body over the limit, a malformed head) is handed to aiohttp
with all its bytes, once those before it are answered, and the connection stays there.

Answers go out in the order of their requests. A head must come within HEAD_SECONDS of its first
byte (408), its body within BODY_SECONDS (408), the next request within IDLE_SECONDS. Who does not
read his answers, or sends too many requests at once, is not read from.

Limits: no `Server` header; a connection that was handed over does not come back.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from service.deliveries import PAID, Deliveries, answer_body
from service.fast_head import END, HEAD_LIMIT_BYTES, START, Head, read_head
from service.strategies import Answer
from service.webhook import RefusedError

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
IDLE_SECONDS = 75.0
PIPELINED_MAX = 32
BACKLOG = 1024

Body = bytes | Callable[[], Awaitable[bytes]]


class FastLane:
    """The listener and its connections; `others` makes the protocol that gets the rest."""

    def __init__(self, deliveries: Deliveries, others: Callable[[], asyncio.Protocol]) -> None:
        self.deliveries = deliveries
        self.others = others
        self.draining = False
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()

    async def listen(self, host: str, port: int) -> None:
        """Accept connections; OSError: it cannot."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), host, port, backlog=BACKLOG
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        sockets = self._server.sockets if self._server is not None else ()
        return [listening.getsockname()[:2] for listening in sockets]

    async def drain(self, seconds: float) -> None:
        """Accept nothing more; answer what is under way, for so long at most."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drain()
        try:
            async with asyncio.timeout(seconds):
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()

    def leave(self, connection: "Connection") -> None:
        """A connection has ended, or is aiohttp's from now on."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()


class Turn:
    """The place of one answer among those of its connection."""

    __slots__ = ("reply", "task")

    def __init__(self, reply: bytes | None = None) -> None:
        self.reply = reply
        self.task: asyncio.Task[None] | None = None


class Connection(asyncio.Protocol):
    """One client, until it leaves or asks for something that is not plain."""

    def __init__(self, lane: FastLane) -> None:
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()  # what came and was not taken yet
        self._head: Head | None = None  # of the request whose body is still coming
        self._turns: deque[Turn] = deque()
        self._odd = False  # what comes next is for aiohttp
        self._last = False  # nothing more is taken from this client
        self._choked = False  # it does not read
        self._reading = True
        self._since = self._loop.time()  # when what it waits for began
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._lane.connections.add(self)
        self._watch()

    def connection_lost(self, _error: Exception | None) -> None:
        """The client has gone; what it asked for is done all the same."""
        self._last = True
        self._stop_watching()
        if not self._turns:
            self._lane.leave(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of some request."""
        if not self._rest and self._head is None:
            self._since = self._loop.time()
        self._rest += data
        self._take_requests()

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        self._choked = True
        self._since = self._loop.time()
        self._read_or_not()

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        self._take_requests()

    def drain(self) -> None:
        """End now, or after the answers that are under way."""
        if not self._turns and self._head is None:
            self._transport.close()

    def abort(self) -> None:
        """End now; nobody is answered any more."""
        for turn in self._turns:
            if turn.task is not None:
                turn.task.cancel()
        self._turns.clear()
        self._transport.abort()
        self._lane.leave(self)

    def _take_requests(self) -> None:
        """Begin all requests that are there as a whole, as far as may be."""
        while self._may_take and (self._head is not None or self._take_head()):
            assert self._head is not None
            if len(self._rest) < self._head.length:
                break
            body = bytes(memoryview(self._rest)[: self._head.length])
            del self._rest[: self._head.length]
            self._begin(self._head, body)
        self._read_or_not()
        if self._odd and not self._turns and not self._transport.is_closing():
            if self._lane.draining:  # so is aiohttp
                self._transport.close()
            else:
                self._hand_over()

    @property
    def _may_take(self) -> bool:
        return (
            len(self._turns) < PIPELINED_MAX
            and not (self._odd or self._last or self._choked)
            and not (self._lane.draining and self._head is None)
        )

    def _take_head(self) -> bool:
        """Whether there is a head, and a plain one."""
        rest = self._rest
        if not (rest.startswith(START) if len(rest) >= len(START) else START.startswith(rest)):
            self._odd = True
            return False
        end = rest.find(END, 0, HEAD_LIMIT_BYTES)
        if end < 0:
            self._odd = len(rest) >= HEAD_LIMIT_BYTES
            return False
        end += len(END)
        self._head = read_head(bytes(memoryview(rest)[:end]))
        self._odd = self._head is None
        if self._head is not None:
            del rest[:end]
            self._since = self._loop.time()
        return not self._odd

    def _begin(self, head: Head, body: Body) -> None:
        self._head = None
        self._since = self._loop.time()
        turn = Turn()
        self._turns.append(turn)
        turn.task = self._loop.create_task(self._deliver(turn, head, body))

    async def _deliver(self, turn: Turn, head: Head, body: Body) -> None:
        answer = await self._lane.deliveries.answer(PAID, head.headers, body)
        ends = (self._last or self._lane.draining) and turn is self._turns[-1]
        turn.reply = _reply(answer, ends=ends)
        self._send()

    def _send(self) -> None:
        """The answers that are due, in turn; then go on."""
        due = []
        while self._turns and (reply := self._turns[0].reply) is not None:
            self._turns.popleft()
            due.append(reply)
        if self._transport.is_closing():
            if not self._turns:
                self._lane.leave(self)
            return
        if not due:
            return
        self._transport.write(due[0] if len(due) == 1 else b"".join(due))
        ending = (self._last or self._lane.draining) and self._head is None and not self._odd
        if ending and not self._turns:
            self._transport.close()
        elif self._turns or self._rest or self._head is not None:
            self._take_requests()
        else:
            self._since = self._loop.time()
            self._read_or_not()

    def _hand_over(self) -> None:
        """All that is left, and all that is to come, is aiohttp's."""
        self._stop_watching()
        self._lane.leave(self)
        other = self._lane.others()
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        if not self._reading:
            self._transport.resume_reading()
        other.data_received(bytes(self._rest))

    def _read_or_not(self) -> None:
        wanted = self._may_take
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _watch(self) -> None:
        """Look again when something may be late; a timer for each request would cost more."""
        at = min(HEAD_SECONDS, BODY_SECONDS, IDLE_SECONDS)
        waits_for = self._waits_for()
        if waits_for is not None:
            at = min(at, max(0.0, self._since + waits_for - self._loop.time()))
        self._timer = self._loop.call_later(at, self._look)

    def _waits_for(self) -> float | None:
        """How long the client may still be silent; None if it is this side's turn."""
        if self._choked:
            return IDLE_SECONDS
        if self._odd or self._last:
            return None
        if self._head is not None:
            return BODY_SECONDS
        if self._rest:
            return HEAD_SECONDS if len(self._turns) < PIPELINED_MAX else None
        return None if self._turns else IDLE_SECONDS

    def _look(self) -> None:
        waits_for = self._waits_for()
        if waits_for is None or self._loop.time() - self._since < waits_for:
            self._watch()
            return
        self._last = True
        if self._choked:
            self._transport.abort()
        elif self._head is not None:
            self._begin(self._head, _late)
        elif self._rest:
            self._rest.clear()
            self._turns.append(Turn(_reply(Answer(408, "the head did not come"), ends=True)))
            self._send()
        else:
            self._transport.close()

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _late() -> bytes:
    raise RefusedError(408, "the body did not come")


def _reply(answer: Answer, *, ends: bool) -> bytes:
    return _whole_reply(answer, ends, int(time.time()))


@lru_cache(maxsize=64)  # most answers of a second are one of three
def _whole_reply(answer: Answer, ends: bool, second: int) -> bytes:
    body = answer_body(answer)
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(["Connection: close"] if ends else ()),
        f"Date: {formatdate(second, usegmt=True)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
