"""What the server answers, on its way to the client: scanned, traced, and given with one write.

Nearly all of it passes in the call in which it was read (`receive`). Only an answer that a rule
may want to hold, or a client that does not read, goes through the queue of the task `run`, and all
that comes after it as well, so the order stays. Of a large result only the headers of messages are
looked at: nothing of it is copied or kept.

Limits: an answer beyond `WITHHELD_MAX_BYTES` is not held. A server is read no further while
`QUEUE_READS` wait.
"""

import asyncio
import contextlib
import time

from cluster.wire import protocol
from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight
from cluster.wire.gates import Hold
from cluster.wire.holds import Holds
from cluster.wire.sides import Sides
from cluster.wire.trace import Trace

QUEUE_READS = 4
WITHHELD_MAX_BYTES = 16 << 20


class Answers:
    """The way from the server to the client."""

    def __init__(
        self, trace: Trace, conversation: Conversation, sides: Sides, holds: Holds
    ) -> None:
        self._trace = trace
        self._conversation = conversation
        self._sides = sides
        self._holds = holds
        self._scanner = protocol.Scanner()
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._free = True  # nothing waits: what comes may pass at once
        self._over = False

    # ---------------------------------------------------------------- called by the loop

    def receive(self, data: bytes) -> None:
        """What the server has sent."""
        if self._over:
            return
        if not self._free or self._withheld:
            self._wait(data)
            return
        try:
            found = self._scanner.feed(data)
            at_ns = time.monotonic_ns()
            self._sides.give(data)
            for kind, payload, _ in found:
                if self._conversation.read_answer(kind, payload):
                    flight = self._ready(chr(payload[0]), at_ns)
                    if flight is not None:
                        self._holds.settled(flight)
                        self._finish(flight)
        except Exception as error:  # noqa: BLE001 - `run` raises it, and so ends the connection
            self._wait(error)
            self.stop()
            return
        if self._sides.behind("client"):
            self._wait(b"")

    def end(self) -> None:
        """The server sends no more."""
        if not self._over:
            self.stop()
            self._queue.put_nowait(None)

    def stop(self) -> None:
        """Take nothing any more."""
        self._over = True

    @property
    def _withheld(self) -> bool:
        """Whether an answer that is under way may be held."""
        for flight in self._conversation.pending:
            if flight.withhold or flight.reply_hold is not None:
                return True
        return False

    def _wait(self, item: bytes | Exception) -> None:
        self._free = False
        self._queue.put_nowait(item)
        if self._queue.qsize() >= QUEUE_READS:
            self._sides.pause("server")

    # ---------------------------------------------------------------- what must wait

    async def run(self) -> None:
        """Carry out what waits, in its order; ends with the server, or with Dropped."""
        with contextlib.suppress(OSError):
            while (item := await self._queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                await self._return(item)
                if self._conversation.eof_ns is None:
                    with contextlib.suppress(OSError):  # its end is seen by `requests` as well
                        await self._sides.to_client.drain()
                if self._queue.qsize() < QUEUE_READS:
                    self._sides.resume("server")
                self._free = self._queue.empty()
        if "server" not in self._sides.cut:
            trace = self._conversation.connection_trace("server-eof", time.monotonic_ns())
            self._trace.add(trace)

    async def _return(self, data: bytes) -> None:
        """Give what was read, one flight's answer after the other."""
        begun = 0
        for kind, payload, end in self._scanner.feed(data):
            if self._conversation.read_answer(kind, payload):
                await self._answered(chr(payload[0]), data[begun:end])
                begun = end
            elif kind == protocol.COPY_IN:
                self._hand_on(data[begun:end], at_once=True)  # the client's turn
                begun = end
        if begun < len(data):
            self._hand_on(data[begun:] if begun else data)

    async def _answered(self, state: str, data: bytes) -> None:
        """A flight is complete: hold its answer if a rule says so, then hand it on."""
        flight = self._ready(state, time.monotonic_ns())
        self._hand_on(data)
        if flight is None:
            return
        self._conversation.progress.set()
        self._holds.settled(flight)
        holds: list[Hold] = []
        if flight.withhold:
            holds = await self._holds.gate_reply(flight)
            flight.withhold = False
            self._sides.give(bytes(flight.answer))
        elif flight.reply_hold is not None:  # the answer was too long to be withheld
            holds = [flight.reply_hold]
        self._finish(flight)
        for hold in holds:
            self._holds.end(hold)

    def _hand_on(self, data: bytes, *, at_once: bool = False) -> None:
        pending = self._conversation.pending
        flight = pending[0] if pending else None
        if flight is not None and flight.withhold:
            flight.answer += data
            full = len(flight.answer) > WITHHELD_MAX_BYTES
            if not full and not at_once:
                return
            flight.withhold = not full
            data, flight.answer = bytes(flight.answer), bytearray()
        self._sides.give(data)

    # ---------------------------------------------------------------- both

    def _ready(self, state: str, at_ns: int) -> Flight | None:
        """A ReadyForQuery has come: the flight that it answers; None for the one of a login."""
        conversation = self._conversation
        flight = conversation.answered(state, at_ns)
        if flight is None and not conversation.ready:
            conversation.ready = True
            self._trace.add(conversation.connection_trace("open", at_ns))
        return flight

    def _finish(self, flight: Flight) -> None:
        """Its answer has been given to the client, if that is still there."""
        conversation = self._conversation
        flight.returned_ns = time.monotonic_ns() if conversation.eof_ns is None else None
        conversation.finished(flight)
        if flight.sql:
            self._trace.add_flight(conversation, flight)
