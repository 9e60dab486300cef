"""One connection through the wire: three tasks, two sockets, and the flights between them.

`_read_client` reads messages (and so notices the client's end at once, also while a flight is
held), `_forward` gates and forwards flights, `_return` scans and returns what the server answers.
Every queue is bounded, so a slow side slows the other. The server's connection outlives the client
for as long as a hold lasts: only so can a COMMIT be forwarded after its sender's death.
"""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field

from cluster.wire import protocol
from cluster.wire.flight import Flight
from cluster.wire.gates import Armed, Gates, Hold
from cluster.wire.rules import Action
from cluster.wire.statements import Statements
from cluster.wire.trace import Trace
from results.records import ConnectionTrace

QUEUE_MESSAGES = 256
CHUNK_MAX_BYTES = 64 << 20
WITHHELD_MAX_BYTES = 16 << 20
SETTLE_SECONDS = 5.0
HOLD_MAX_SECONDS = 90.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Port:
    """What all connections of one replica share."""

    replica: str
    delay_seconds: float = 0.0
    connections: "set[Connection]" = field(default_factory=set)


class Connection:
    """A client, a server, and what is known of their conversation."""

    def __init__(
        self, number: int, port: Port, gates: Gates, trace: Trace, client: Streams, server: Streams
    ) -> None:
        self.number = number
        self.port = port
        self.backend_pid = 0
        self.state = "I"
        self.eof_ns: int | None = None
        self._gates = gates
        self._trace = trace
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._messages: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(QUEUE_MESSAGES)
        self._statements = Statements()
        self._pending: deque[Flight] = deque()
        self._transaction_keys: set[str] = set()
        self._flights = 0
        self._idle = asyncio.Event()
        self._executed = asyncio.Event()  # a split flight's statements have been answered
        self._executes_left = 0
        self._holding: Hold | None = None
        self._unheld = asyncio.Event()
        self._unheld.set()
        self._application_name = ""
        self._opened = False

    @property
    def in_flight(self) -> bool:
        """True while an answer is awaited."""
        return bool(self._pending)

    @property
    def busy(self) -> bool:
        """In a transaction or awaiting an answer."""
        return self.in_flight or self.state != "I"

    @property
    def keys(self) -> frozenset[str]:
        """The ids seen in the open transaction and in flight."""
        return frozenset(self._transaction_keys).union(*(f.keys for f in self._pending))

    async def run(self, startup: bytes) -> None:
        """Relay until either side ends; always closes both."""
        parameters = protocol.startup_parameters(startup)
        self._application_name = parameters.get("application_name", "")
        self._to_server.write(startup)
        jobs = (self._read_client, self._forward, self._return)
        tasks = [asyncio.create_task(job()) for job in jobs]
        try:
            # The end of _read_client alone ends nothing: _forward sees a held flight through.
            await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.cut("both")
            for flight in self._pending:
                self._record(flight)
            self._end_hold()

    def cut(self, side: str) -> None:
        """Abort a side at once, without a goodbye."""
        if side in ("client", "both"):
            self._to_client.transport.abort()
        if side in ("server", "both"):
            self._to_server.transport.abort()

    async def _read_client(self) -> None:
        try:
            while True:
                await self._messages.put(await protocol.read_message(self._from_client))
        except (OSError, asyncio.IncompleteReadError, protocol.ProtocolError):
            self.eof_ns = time.monotonic_ns()
            self.event("client-eof", self.eof_ns)
            await self._messages.put(None)

    async def _forward(self) -> None:
        chunk: list[tuple[int, bytes]] = []
        size = 0
        while (message := await self._messages.get()) is not None:
            kind, content = message
            chunk.append(message)
            size += len(content)
            if kind in b"dcfpX" or size > CHUNK_MAX_BYTES:
                self._to_server.write(b"".join(part for _, part in chunk))
            elif kind in b"SQFH":
                await self._flight(chunk)
            else:
                continue
            chunk, size = [], 0
            await self._to_server.drain()
        with contextlib.suppress(TimeoutError):  # an answer that is held outlives its client
            await asyncio.wait_for(self._unheld.wait(), HOLD_MAX_SECONDS)

    async def _flight(self, chunk: list[tuple[int, bytes]]) -> None:
        """Gate and forward what was sent up to Sync, Query, FunctionCall or Flush."""
        last = chr(chunk[-1][0])
        content = b"".join(part for _, part in chunk)
        if content == protocol.SYNC and self._pending and self._pending[0].sync_swallowed:
            self._pending[0].sync_swallowed = False
            self._to_server.write(content)
            return
        flight = self._new_flight(chunk)
        if self.port.delay_seconds and flight.is_step:
            await asyncio.sleep(self.port.delay_seconds)
        keys = self.keys.union(flight.keys)
        replica = self.port.replica
        armed = self._gates.candidate("before", replica, flight, keys)
        if armed is None:
            armed = self._gates.candidate("before-commit", replica, flight, keys)
            if armed is not None and flight.state_before == "I":
                if last == "S" and not self._pending:
                    await self._split(armed, flight, content)
                    return
                armed = None  # a simple query cannot be split: no commit point of its own
        action: Action = "pass"
        if armed is not None and self._gates.claim(armed):
            action = await self._park(armed, flight)
        if action == "drop":
            self._record(flight)
            await self._drop()
            return
        if last == "H":  # its answers belong to the flight that the next Sync ends
            self._to_server.write(content)
        else:
            self._send(flight, content)
        await self._carried_out()

    def _new_flight(self, chunk: list[tuple[int, bytes]]) -> Flight:
        self._flights += 1
        state = self._pending[-1].predicted_state() if self._pending else self.state
        flight = Flight(number=self._flights, state_before=state, simple=False)
        self._statements.read(flight, chunk)
        return flight

    def _send(self, flight: Flight, content: bytes) -> None:
        keys = self.keys.union(flight.keys)
        flight.withhold = (
            self._gates.candidate("reply", self.port.replica, flight, keys) is not None
        )
        self._begin(flight)
        self._to_server.write(content)

    def _begin(self, flight: Flight) -> None:
        flight.forwarded_ns = time.monotonic_ns()
        self._pending.append(flight)
        self._idle.clear()

    async def _split(self, armed: Armed, flight: Flight, content: bytes) -> None:
        """Let a writing statement run without its Sync, and hold the Sync: it is its COMMIT."""
        self._executes_left = len(flight.sql)
        self._executed.clear()
        self._begin(flight)
        self._to_server.write(content[: -len(protocol.SYNC)] + protocol.FLUSH)
        await self._executed.wait()
        if flight.sqlstate is None and self._gates.claim(armed):
            self.state = "T"  # open at the server, though no BEGIN was sent
            if await self._park(armed, flight) == "drop":
                await self._drop()
                return
        self._to_server.write(protocol.SYNC)
        await self._carried_out()

    async def _park(self, armed: Armed, flight: Flight) -> Action:
        others = sum(other is not self and other.busy for other in self.port.connections)
        self._trace.flush()
        self._unheld.clear()
        action, self._holding = await self._gates.hold(
            armed, flight, replica=self.port.replica, connection=self.number,
            backend_pid=self.backend_pid, keys=self.keys.union(flight.keys),
            others_in_flight=others, client_gone=lambda: self.eof_ns is not None,
        )  # fmt: skip
        return action

    async def _carried_out(self) -> None:
        """A hold has passed; for a dead client that is complete only when the server answered."""
        if self._holding is None:
            return
        await self._to_server.drain()
        if self.eof_ns is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), SETTLE_SECONDS)
        self._end_hold()

    def _end_hold(self) -> None:
        """What was decided has been carried out."""
        if self._holding is not None:
            self._gates.done(self._holding)
            self._holding = None
        self._unheld.set()

    async def _drop(self) -> None:
        """Close both sides; the hold is carried out once the server's side is really closed."""
        self.cut("both")
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._to_server.wait_closed(), SETTLE_SECONDS)
        self._end_hold()
        raise asyncio.IncompleteReadError(b"", None)

    async def _return(self) -> None:
        scanner = protocol.Scanner()
        try:
            while data := await self._from_server.read(protocol.READ_BYTES):
                begun = 0
                for kind, payload, end in scanner.feed(data):
                    if await self._read_answer(chr(kind), payload):
                        await self._answered(chr(payload[0]), data[begun:end])
                        begun = end
                self._hand_on(data[begun:])
                if self.eof_ns is None:
                    await self._to_client.drain()
        finally:
            self.event("server-eof", time.monotonic_ns())

    def _hand_on(self, data: bytes) -> None:
        flight = self._pending[0] if self._pending else None
        if flight is not None and flight.withhold:
            flight.answer += data
            if len(flight.answer) > WITHHELD_MAX_BYTES:
                flight.withhold = False
                data, flight.answer = bytes(flight.answer), bytearray()
            else:
                return
        if data and self.eof_ns is None:
            self._to_client.write(data)

    async def _read_answer(self, kind: str, payload: bytes) -> bool:
        """Understand one server message; True for ReadyForQuery."""
        flight = self._pending[0] if self._pending else None
        match kind:
            case "K":
                self.backend_pid = int.from_bytes(payload[:4], "big")
            case "C" if flight is not None:
                flight.tags.append(payload[:-1].decode(errors="replace"))
                flight.rows = 0
            case "D" if flight is not None:
                flight.rows += 1
            case "s" if flight is not None:  # a limited Execute ends without a tag of its own
                flight.tags.append(f"SELECT {flight.rows}")
            case "E" if flight is not None and flight.sqlstate is None:
                flight.sqlstate = protocol.sqlstate(payload)
            case "G" if flight is not None:
                flight.sync_swallowed = not flight.simple
            case "Z":
                return True
        if kind in "CEIs":
            self._executes_left -= 1
            if kind == "E" or self._executes_left <= 0:
                self._executed.set()
        return False

    async def _answered(self, state: str, data: bytes) -> None:
        """A flight is complete: hold its answer if a rule says so, then hand it on."""
        if not self._pending:
            self.state = state
            self._idle.set()
            if not self._opened:
                self._opened = True
                self.event("open", time.monotonic_ns())
            self._hand_on(data)
            return
        flight = self._pending[0]
        flight.replied_ns, flight.state_after = time.monotonic_ns(), state
        self.state = state
        self._hand_on(data)
        if flight.withhold and not await self._hold_answer(flight):
            self._pending.popleft()
            self._record(flight)
            await self._drop()
        if flight.answer and self.eof_ns is None:
            self._to_client.write(bytes(flight.answer))
        flight.returned_ns = time.monotonic_ns() if self.eof_ns is None else None
        self._pending.popleft()
        if state == "I":
            self._transaction_keys.clear()
        else:
            self._transaction_keys.update(flight.keys)
        self._record(flight)
        if not self._pending:
            self._idle.set()

    async def _hold_answer(self, flight: Flight) -> bool:
        """Park a commit's answer if a rule still wants it; False when it was dropped."""
        keys = self.keys
        armed = self._gates.candidate("reply", self.port.replica, flight, keys)
        if flight.sqlstate or armed is None or not self._gates.claim(armed):
            return True
        if await self._park(armed, flight) == "drop":
            return False
        self._end_hold()
        return True

    def event(self, name: str, at_ns: int) -> None:
        """Trace an opening or an end, with the state at that moment."""
        self._trace.add(
            ConnectionTrace(
                replica=self.port.replica, connection=self.number, event=name, at_ns=at_ns,
                backend_pid=self.backend_pid, state=self.state, in_flight=self.in_flight,
                application_name=self._application_name,
            )
        )  # fmt: skip

    def _record(self, flight: Flight) -> None:
        if flight.sql:
            self._trace.add(flight.record(self.port.replica, self.number, self.backend_pid))
