"""What a client sends, on its way to the server: cut into flights, read, gated, forwarded.

Nearly all of it passes in the call in which it was read (`receive`): no task is woken, and a
flight leaves with one write. Only what must wait (a rule claims it, a delay, a server that does
not read) goes through the queue of the task `run`, and all that comes after it as well, so the
order stays. The client's end is noticed at once, also while a flight is held.

Limits: a client message is read whole (Postgres' own limit is 1 GiB). A flight beyond
`CHUNK_MAX_BYTES` is forwarded in pieces and not held. A client is read no further while
`QUEUE_BATCHES` wait.
"""

import asyncio
import contextlib
import logging
import time

from cluster.wire import protocol
from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight, commit_point, is_step
from cluster.wire.gates import Gates, Hold
from cluster.wire.holds import Holds
from cluster.wire.port import Port
from cluster.wire.rules import Point
from cluster.wire.sides import Sides
from cluster.wire.trace import Trace

QUEUE_BATCHES = 32  # of at most what one read gives, or one message, each
CHUNK_MAX_BYTES = 64 << 20
ANSWER_SECONDS = 60.0
HOLD_MAX_SECONDS = 90.0
Batch = list[protocol.Message]
Executed = list[tuple[int, str]]
log = logging.getLogger(__name__)


class Requests:
    """The way from the client to the server."""

    def __init__(
        self, port: Port, gates: Gates, trace: Trace, conversation: Conversation, sides: Sides,
        holds: Holds,
    ) -> None:  # fmt: skip
        self._port = port
        self._gates = gates
        self._trace = trace
        self._conversation = conversation
        self._sides = sides
        self._holds = holds
        self._splitter = protocol.Splitter()
        self._chunk: Batch = []  # of the flight that is not whole yet
        self._size = 0
        self._begun: tuple[Flight, Executed, Batch] | None = None  # read, and must wait
        self._queue: asyncio.Queue[Batch | Exception | None] = asyncio.Queue()
        self._free = True  # nothing waits: what comes may pass at once
        self._over = False

    # ---------------------------------------------------------------- called by the loop

    def receive(self, data: bytes) -> None:
        """What the client has sent."""
        if self._over:
            return
        try:
            if self._free and not self._chunk and self._splitter.empty:
                execute = protocol.bound_alone(data)
                if execute and self._alone(data, execute):
                    return
            batch = self._splitter.feed(data)
            if batch:
                self._queue_rest(self._pass(batch) if self._free else batch)
        except protocol.ProtocolError as error:
            replica, number = self._port.replica, self._conversation.number
            log.warning("connection %s of %s: %s", number, replica, error)
            self.end()
        except Exception as error:  # noqa: BLE001 - `run` raises it, and so ends the connection
            self._queue.put_nowait(error)
            self.stop()
        else:
            if batch and batch[-1][0] == protocol.TERMINATE:  # it may wait for the server's end
                self.end()

    def end(self) -> None:
        """The client sends no more."""
        if self._over:
            return
        self.stop()
        conversation = self._conversation
        conversation.eof_ns = time.monotonic_ns()
        self._queue.put_nowait(None)
        if "client" not in self._sides.cut:
            self._trace.add(conversation.connection_trace("client-eof", conversation.eof_ns))

    def stop(self) -> None:
        """Take nothing any more."""
        self._over = True

    def _queue_rest(self, rest: Batch | None) -> None:
        """What could not pass waits; so does the client, if the server is behind."""
        if rest is None:
            if not self._sides.behind("server"):
                return
            rest = []
        self._free = False
        self._queue.put_nowait(rest)
        if self._queue.qsize() >= QUEUE_BATCHES:
            self._sides.pause("client")

    def _alone(self, data: bytes, execute: int) -> bool:
        """Pass a flight that is one Bind, one Execute and Sync, unless it belongs to a larger one.

        `execute` is the index of its Execute.
        """
        flight = self._conversation.flight()
        if flight.sql:
            return False
        flight.received_ns = time.monotonic_ns()
        sql = self._conversation.statements.bound(flight, data)
        if not self._gates.idle or self._port.delay_seconds:
            executed = [(execute, sql)]
            if self._waits(flight, executed, execute + 1, ends_with_sync=True):
                self._begun = flight, executed, self._splitter.feed(data)
                self._queue_rest([])
                return True
        self._send(flight, data, synced=True)
        self._queue_rest(None)
        return True

    def _pass(self, batch: Batch) -> Batch | None:
        """Forward until a flight must wait, which is `_begun` then; returns what comes after it."""
        chunk = self._chunk
        plain: list[bytes] = []  # passed on as it comes
        for index, message in enumerate(batch):
            kind, content = message
            if kind in protocol.COPY_OR_LAST and not chunk:
                plain.append(content)
                continue
            if plain:
                self._sides.to_server.write(b"".join(plain))
                plain = []
            chunk.append(message)
            self._size += len(content)
            if kind in protocol.FLIGHT_ENDS:
                self._flight_part(chunk)
            elif self._size > CHUNK_MAX_BYTES or kind in protocol.COPY_OR_LAST:
                flight = self._conversation.flight()
                self._conversation.statements.read(flight, chunk)
                self._send_messages(flight, chunk)
            else:
                continue
            chunk = self._chunk = []
            self._size = 0
            if self._begun is not None:
                return batch[index + 1 :]
        if plain:
            self._sides.to_server.write(b"".join(plain))
        return None

    def _flight_part(self, chunk: Batch) -> None:
        """Read and forward what was sent up to Sync, Query, FunctionCall or Flush, or begin it."""
        conversation = self._conversation
        pending = conversation.pending
        if chunk[0][1] == protocol.SYNC and pending and pending[0].sync_swallowed:
            pending[0].sync_swallowed = False
            self._sides.to_server.write(protocol.SYNC)
            return
        flight = conversation.flight()
        executed = conversation.statements.read(flight, chunk)
        if executed and len(executed) == len(flight.sql):
            flight.received_ns = time.monotonic_ns()  # not that of a Parse sent ahead
        ends_with_sync = chunk[-1][0] == ord("S")
        if (not self._gates.idle or self._port.delay_seconds) and self._waits(
            flight, executed, len(chunk) - 1, ends_with_sync=ends_with_sync
        ):
            self._begun = flight, executed, chunk
        else:
            self._send_messages(flight, chunk)

    def _waits(
        self, flight: Flight, executed: Executed, last: int, *, ends_with_sync: bool
    ) -> bool:
        """Whether a rule may hold this flight before the server sees it, or a delay slows it."""
        fresh = [sql for _, sql in executed]
        if is_step(fresh) and (self._port.delay_seconds or self._wanted("before", flight, fresh)):
            return True
        if not self._gates.watches("before-commit"):
            return False
        at = commit_point(flight, executed, last, ends_with_sync)
        return at is not None and self._wanted("before-commit", flight, flight.sql)

    # ---------------------------------------------------------------- what must wait

    async def run(self) -> None:
        """Carry out what waits, in its order; ends with the client, or with Dropped."""
        while (item := await self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            rest: Batch | None = item
            while rest is not None:
                if self._begun is not None:
                    begun, self._begun = self._begun, None
                    await self._gated(*begun)
                rest = self._pass(rest)
            await self._sides.to_server.drain()
            if self._queue.qsize() < QUEUE_BATCHES:
                self._sides.resume("client")
            self._free = self._queue.empty()
        with contextlib.suppress(TimeoutError):  # an answer that is held outlives its client
            async with asyncio.timeout(HOLD_MAX_SECONDS):
                await self._holds.until_none()
                await self._port.heard.wait()

    async def _gated(self, flight: Flight, executed: Executed, chunk: Batch) -> None:
        """Delay and hold as the rules say, then forward."""
        conversation = self._conversation
        fresh = [sql for _, sql in executed]
        holds: list[Hold] = []
        if is_step(fresh):
            if self._port.delay_seconds:
                await asyncio.sleep(self._port.delay_seconds)
            holds += await self._holds.gate("before", flight, fresh)
        ends_with_sync = chunk[-1][0] == ord("S")
        at = commit_point(flight, executed, len(chunk) - 1, ends_with_sync)
        if at is not None and self._wanted("before-commit", flight, flight.sql):
            before = len(flight.sql) - sum(index >= at for index, _ in executed)
            if self._run_ahead(flight, chunk[:at], before):
                chunk = chunk[at:]
            if await self._uncommitted(flight, before):
                if flight.state_before == "I" and conversation.state == "I":
                    conversation.state = "T"  # open at the server, though no BEGIN was answered
                holds += await self._holds.gate("before-commit", flight, flight.sql)
        self._send_messages(flight, chunk)
        self._holds.settle(holds, flight)

    def _run_ahead(self, flight: Flight, head: Batch, statements: int) -> bool:
        """Let all that comes before a commit point run, so that only the commit is left."""
        if not head or not statements:
            return False
        self._send_messages(flight, [*head, (ord("H"), protocol.FLUSH)])
        return True

    async def _uncommitted(self, flight: Flight, statements: int) -> bool:
        """Wait for what was sent before; True if the transaction is open and unharmed."""
        conversation = self._conversation
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await conversation.until_executed(flight, statements)
        except TimeoutError:
            return False
        if flight.sqlstate is not None or flight.copying:
            return False
        return flight.state_before == "I" or conversation.state == "T"

    # ---------------------------------------------------------------- forwarding

    def _wanted(self, point: Point, flight: Flight, statements: list[str]) -> bool:
        """Whether some rule may hold this flight at this point."""
        return self._gates.wanted(point, self._conversation, flight, statements)

    def _send_messages(self, flight: Flight, chunk: Batch) -> None:
        data = chunk[0][1] if len(chunk) == 1 else b"".join([content for _, content in chunk])
        self._send(flight, data, synced=chunk[-1][0] in b"SQF")

    def _send(self, flight: Flight, data: bytes, *, synced: bool) -> None:
        """Forward messages of a flight with one write."""
        conversation = self._conversation
        conversation.forwarded(flight)
        if synced:
            flight.synced = True
            conversation.current = None
            # Never before: a client that flushes may wait for that answer before it goes on.
            flight.withhold = flight.reply_hold is not None or (
                not self._gates.idle and self._wanted("reply", flight, flight.sql)
            )
        self._sides.to_server.write(data)
