"""One connection through the wire: three tasks, two sockets, and the gates between them.

`_read_client` reads messages (and so notices the client's end at once, also while a flight is
held), `_forward` gates and forwards flights, `_return` scans and returns what the server answers.
Every queue is bounded in bytes, so a slow side slows the other. The server's connection outlives
the client for as long as a hold lasts: only so can a COMMIT be forwarded after its sender's death.

Limits: a client message is read whole (Postgres' own limit is 1 GiB). A flight beyond
`CHUNK_MAX_BYTES` is forwarded in pieces and not held; an answer beyond `WITHHELD_MAX_BYTES` too.
"""

import asyncio
import contextlib
import logging
import time

from cluster.wire import protocol
from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight, commit_point, is_step
from cluster.wire.gates import Gates, Hold
from cluster.wire.port import Port
from cluster.wire.rules import Point
from cluster.wire.sides import SETTLE_SECONDS, Sides, Streams
from cluster.wire.trace import Trace

QUEUE_BATCHES = 32  # of at most READ_BYTES, or one message, each
CHUNK_MAX_BYTES = 64 << 20
WITHHELD_MAX_BYTES = 16 << 20
ANSWER_SECONDS = 60.0
HOLD_MAX_SECONDS = 90.0
EXPECTED = (OSError, asyncio.IncompleteReadError, protocol.ProtocolError)
log = logging.getLogger(__name__)


class Dropped(Exception):  # noqa: N818 - it is an order carried out, no error
    """A hold was released with `drop`: this connection is over."""


class Connection:
    """A client, a server, and the gates between them."""

    def __init__(
        self, number: int, port: Port, gates: Gates, trace: Trace, client: Streams, server: Streams
    ) -> None:
        self.number = number
        self.port = port
        self.eof_ns: int | None = None
        self.isolation = ""  # what the startup message said that may be about it
        self.conversation = Conversation(port.replica, number, "")
        self._gates = gates
        self._trace = trace
        self._sides = Sides(client, server)
        self._batches: asyncio.Queue[list[protocol.Message] | None] = asyncio.Queue(QUEUE_BATCHES)
        self._holds: set[Hold] = set()
        self._unheld = asyncio.Event()  # no hold is open or being carried out
        self._unheld.set()
        self._running = asyncio.Event()  # nothing is kept from the server
        self._running.set()

    async def run(self, startup: bytes) -> None:
        """Relay until either side ends; always closes both. The startup has been said already."""
        asked = protocol.startup_parameters(startup)
        name = asked.get("application_name", "")
        self.conversation = Conversation(self.port.replica, self.number, name)
        self.isolation = asked.get("default_transaction_isolation", asked.get("options", ""))
        jobs = (self._read_client, self._forward, self._return)
        tasks = [asyncio.create_task(job()) for job in jobs]
        try:
            # The end of _read_client alone ends nothing: _forward sees a held flight through, and
            # what was forwarded is answered: who sends no more may still listen.
            _, forwarding, returning = tasks
            await asyncio.wait((forwarding, returning), return_when=asyncio.FIRST_COMPLETED)
            if forwarding.done() and forwarding.exception() is None:
                await self._sides.end_requests(lambda: self.conversation.answered_all)
                await asyncio.wait((returning,), timeout=HOLD_MAX_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception) and not isinstance(end, (*EXPECTED, Dropped)):
                    log.error("connection %s of %s", self.number, self.port.replica, exc_info=end)
            await self._sides.close()
            for flight in self.conversation.unanswered:
                self._record(flight)
            for hold in list(self._holds):
                self._end_hold(hold)

    def cut(self, side: str) -> None:
        """Abort a side at once, without a goodbye."""
        self._sides.cut.update(("client", "server") if side == "both" else (side,))
        self._trace.add(self.conversation.connection_trace("cut", time.monotonic_ns()))
        self._sides.abort(side)

    @property
    def held(self) -> bool:
        """True while a flight is kept from the server."""
        return not self._running.is_set()

    async def until_running(self) -> None:
        """Wait until nothing of this connection is held before the server."""
        await self._running.wait()

    # ---------------------------------------------------------------- client to server

    async def _read_client(self) -> None:
        splitter = protocol.Splitter()
        try:
            while data := await self._sides.from_client.read(protocol.READ_BYTES):
                if batch := splitter.feed(data):
                    await self._batches.put(batch)
                    if batch[-1][0] == protocol.TERMINATE:  # it may wait for the server's end
                        break
        except EXPECTED as error:
            if isinstance(error, protocol.ProtocolError):
                log.warning("connection %s of %s: %s", self.number, self.port.replica, error)
        self.eof_ns = time.monotonic_ns()
        if "client" not in self._sides.cut:
            self._trace.add(self.conversation.connection_trace("client-eof", self.eof_ns))
        await self._batches.put(None)

    async def _forward(self) -> None:
        chunk: list[protocol.Message] = []
        size = 0
        while (batch := await self._batches.get()) is not None:
            for message in batch:
                kind, content = message
                if kind in protocol.COPY_OR_LAST and not chunk:
                    self._sides.to_server.write(content)
                    continue
                chunk.append(message)
                size += len(content)
                if kind in protocol.FLIGHT_ENDS:
                    await self._flight_part(chunk)
                elif size > CHUNK_MAX_BYTES or kind in protocol.COPY_OR_LAST:
                    self._read_and_send(chunk)
                else:
                    continue
                chunk, size = [], 0
            await self._sides.to_server.drain()
        with contextlib.suppress(TimeoutError):  # an answer that is held outlives its client
            async with asyncio.timeout(HOLD_MAX_SECONDS):
                await self._unheld.wait()
                await self.port.heard.wait()

    def _read_and_send(self, chunk: list[protocol.Message]) -> None:
        flight = self.conversation.flight()
        self.conversation.statements.read(flight, chunk)
        self._send(flight, chunk)

    async def _flight_part(self, chunk: list[protocol.Message]) -> None:
        """Gate and forward what was sent up to Sync, Query, FunctionCall or Flush."""
        conversation = self.conversation
        pending = conversation.pending
        if chunk[0][1] == protocol.SYNC and pending and pending[0].sync_swallowed:
            pending[0].sync_swallowed = False
            self._sides.to_server.write(protocol.SYNC)
            return
        flight = conversation.flight()
        executed = conversation.statements.read(flight, chunk)
        if executed and len(executed) == len(flight.sql):
            flight.received_ns = time.monotonic_ns()  # not that of a Parse sent ahead
        if self._gates.idle and not self.port.delay_seconds:
            self._send(flight, chunk)
            return
        fresh = [sql for _, sql in executed]
        holds: list[Hold] = []
        if is_step(fresh):
            if self.port.delay_seconds:
                await asyncio.sleep(self.port.delay_seconds)
            holds += await self._gate("before", flight, fresh)
        ends_with_sync = chunk[-1][0] == ord("S")
        at = commit_point(flight, executed, len(chunk) - 1, ends_with_sync)
        if at is not None and self._wanted("before-commit", flight, flight.sql):
            before = len(flight.sql) - sum(index >= at for index, _ in executed)
            if await self._run_ahead(flight, chunk[:at], before):
                chunk = chunk[at:]
            if await self._uncommitted(flight, before):
                if flight.state_before == "I" and conversation.state == "I":
                    conversation.state = "T"  # open at the server, though no BEGIN was answered
                holds += await self._gate("before-commit", flight, flight.sql)
        self._send(flight, chunk)
        if holds:
            flight.passed = holds
            loop = asyncio.get_running_loop()
            flight.settling = loop.call_later(SETTLE_SECONDS, self._settled, flight)

    async def _run_ahead(
        self, flight: Flight, head: list[protocol.Message], statements: int
    ) -> bool:
        """Let all that comes before a commit point run, so that only the commit is left."""
        if not head or not statements:
            return False
        self._send(flight, [*head, (ord("H"), protocol.FLUSH)])
        return True

    async def _uncommitted(self, flight: Flight, statements: int) -> bool:
        """Wait for what was sent before; True if the transaction is open and unharmed."""
        conversation = self.conversation
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await conversation.until_executed(flight, statements)
        except TimeoutError:
            return False
        if flight.sqlstate is not None or flight.copying:
            return False
        return flight.state_before == "I" or conversation.state == "T"

    def _send(self, flight: Flight, chunk: list[protocol.Message]) -> None:
        """Forward messages of a flight with one write."""
        self.conversation.forwarded(flight)
        if chunk[-1][0] in b"SQF":
            flight.synced = True
            self.conversation.current = None
            # Never before: a client that flushes may wait for that answer before it goes on.
            flight.withhold = flight.reply_hold is not None or (
                not self._gates.idle and self._wanted("reply", flight, flight.sql)
            )
        self._sides.to_server.write(b"".join(content for _, content in chunk))

    # ---------------------------------------------------------------- gates

    def _wanted(self, point: Point, flight: Flight, statements: list[str]) -> bool:
        """Whether some rule may hold this flight at this point."""
        keys = self.conversation.keys
        return self._gates.wanted(point, self.port.replica, flight, statements, keys)

    async def _gate(self, point: Point, flight: Flight, statements: list[str]) -> list[Hold]:
        """Hold the flight if a rule claims it; raises Dropped when it shall never pass."""
        conversation = self.conversation
        armed = self._gates.claim(
            point, self.port.replica, self.number, flight, statements, conversation.keys
        )
        if armed is None:
            return []
        others = sum(
            other is not self and other.conversation.busy for other in self.port.connections
        )
        self._trace.flush()
        hold = self._gates.park(
            armed, flight, conversation, others_in_flight=others,
            client_gone=lambda: self.eof_ns is not None,
        )  # fmt: skip
        self._holds.add(hold)
        self._unheld.clear()
        if point != "reply":
            self._running.clear()
        try:
            action = await self._gates.decision(hold)
        finally:
            if point != "reply":
                self._running.set()
        if action == "pass":
            return [hold]
        if action == "hold-reply":
            flight.reply_hold = hold
            return []
        await self._sides.drop()
        raise Dropped

    async def _gate_reply(self, flight: Flight) -> list[Hold]:
        """Hold the answer: as a rule says, or because the COMMIT's own hold goes on with it."""
        hold = flight.reply_hold
        if hold is None:
            return await self._gate("reply", flight, flight.sql)
        if flight.committed:
            self._trace.flush()
            self._gates.go_on(hold)
            if await self._gates.decision(hold) == "drop":
                await self._sides.drop()
                raise Dropped
        return [hold]

    def _settled(self, flight: Flight) -> None:
        """Its holds have passed; that is complete when the server has answered, or is too slow."""
        if flight.settling is not None:
            flight.settling.cancel()
        holds, flight.passed = flight.passed, []
        for hold in holds:
            self._end_hold(hold)

    def _end_hold(self, hold: Hold) -> None:
        """What was decided has been carried out."""
        self._gates.done(hold)
        self._holds.discard(hold)
        if not self._holds:
            self._unheld.set()

    # ---------------------------------------------------------------- server to client

    async def _return(self) -> None:
        scanner = protocol.Scanner()
        conversation = self.conversation
        with contextlib.suppress(OSError):
            while data := await self._sides.from_server.read(protocol.READ_BYTES):
                begun = 0
                for kind, payload, end in scanner.feed(data):
                    if conversation.read_answer(kind, payload):
                        await self._answered(chr(payload[0]), data[begun:end])
                        begun = end
                    elif kind == protocol.COPY_IN:
                        self._hand_on(data[begun:end], at_once=True)  # the client's turn
                        begun = end
                if begun < len(data):
                    self._hand_on(data[begun:] if begun else data)
                if self.eof_ns is None:
                    with contextlib.suppress(OSError):  # _read_client sees the end as well
                        await self._sides.to_client.drain()
        if "server" not in self._sides.cut:
            self._trace.add(conversation.connection_trace("server-eof", time.monotonic_ns()))

    def _hand_on(self, data: bytes, *, at_once: bool = False) -> None:
        flight = self.conversation.pending[0] if self.conversation.pending else None
        if flight is not None and flight.withhold:
            flight.answer += data
            full = len(flight.answer) > WITHHELD_MAX_BYTES
            if not full and not at_once:
                return
            flight.withhold = not full
            data, flight.answer = bytes(flight.answer), bytearray()
        self._sides.give(data)

    async def _answered(self, state: str, data: bytes) -> None:
        """A flight is complete: hold its answer if a rule says so, then hand it on."""
        conversation = self.conversation
        flight = conversation.answered(state)
        self._hand_on(data)
        if flight is None:
            if not conversation.ready:
                conversation.ready = True
                self._trace.add(conversation.connection_trace("open", time.monotonic_ns()))
            return
        conversation.progress.set()
        self._settled(flight)
        holds: list[Hold] = []
        if flight.withhold:
            holds = await self._gate_reply(flight)
            flight.withhold = False
            self._sides.give(bytes(flight.answer))
        elif flight.reply_hold is not None:  # the answer was too long to be withheld
            holds = [flight.reply_hold]
        flight.returned_ns = time.monotonic_ns() if self.eof_ns is None else None
        conversation.finished(flight)
        self._record(flight)
        for hold in holds:
            self._end_hold(hold)

    def _record(self, flight: Flight) -> None:
        if flight.sql:
            self._trace.add(self.conversation.statement_trace(flight))
