"""The wire's listeners: for Postgres clients one port per replica, or one for all of them, and one
for the controller.

Where all replicas share one configuration (pods), they share one port, and the address that a
client comes from says which replica it is: `wire.addresses` knows the names.

The controller proves itself with a token and keeps one stream open; requests carry an id, answers
repeat it, events (a park, an end of a client) have none. When the stream ends all rules go and
all holds pass: a wire without a controller is only a wire.
"""

import asyncio
import contextlib
import hmac
import itertools
import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec

from cluster.wire import protocol
from cluster.wire.addresses import Addresses
from cluster.wire.connection import Connection
from cluster.wire.frames import read_frame, write_frame
from cluster.wire.gates import SHOWN_MAX, Gates
from cluster.wire.login import LoginError
from cluster.wire.port import Port
from cluster.wire.requests import HOLD_MAX_SECONDS
from cluster.wire.rules import ClientEnd, OpenConnection, Park, Rule, WireState
from cluster.wire.tap import Tap, listen
from cluster.wire.trace import FLUSH_SECONDS, Trace
from cluster.wire.upstream import Upstream
from results.records import ConnectionTrace

log = logging.getLogger(__name__)
CONNECT_SECONDS = 5.0
HELLO_SECONDS = 5.0
CANCEL_TRIES = 50
CANCEL_SECONDS = 0.05
UNREAD_MAX_BYTES = 16 << 20


class WireServer:
    """All ports, connections, rules and the one controller."""

    def __init__(
        self, upstream: Upstream, trace: Trace, token: str, *, host: str,
        on_park: Callable[[Park], None] | None = None,
    ) -> None:  # fmt: skip
        """`on_park` hears of parks in this process, besides the controller (`wire.embedded`)."""
        self._upstream = upstream
        self._on_park = on_park
        self._host = host  # of the control port and of the replicas' own ports
        self._trace = trace
        self._token = token
        self._ports: dict[str, Port] = {}
        self._addresses = Addresses()
        self._listeners: list[asyncio.Server] = []
        self._numbers = itertools.count(1)
        self.gates = Gates(self._parked, trace.add)
        self._controller: asyncio.StreamWriter | None = None
        self._delay_seconds = 0.0
        self._running: set[asyncio.Task[None]] = set()

    async def listen(self, control_port: int) -> int:
        """Open the control port; returns its number."""
        server = await asyncio.start_server(self._control, self._host, control_port)
        self._listeners.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def share(self, host: str, port: int) -> int:
        """Open one port for every replica, told apart by address; returns its number."""

        async def accept(reader: Tap, writer: asyncio.StreamWriter) -> None:
            address = str(writer.get_extra_info("peername")[0])
            controlled = self._controller is not None
            try:
                replica = await self._addresses.replica(address, wait=controlled)
            except TimeoutError:
                log.warning("refused a client from %s: no replica has that address", address)
                words = f"onceproof wire: {address} is no replica of the run"
                writer.write(protocol.error_response("28000", words))
                writer.close()
                return
            await self._accept(self.port(replica), reader, writer)

        listener = await listen(accept, host, port)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def flush_forever(self) -> None:
        """Write the trace by the clock."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._trace.flush()

    def close(self) -> None:
        """Stop listening, let holds pass, and write what is buffered."""
        self.gates.controller_lost()
        for listener in self._listeners:
            listener.close()
        self._trace.flush()

    # ---------------------------------------------------------------- Postgres clients

    async def _accept(self, port: Port, reader: Tap, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                code, startup = await protocol.read_startup(reader)
                while code in (protocol.SSL_REQUEST, protocol.GSS_REQUEST):
                    writer.write(b"N")
                    code, startup = await protocol.read_startup(reader)
                if code == protocol.CANCEL_REQUEST:
                    await self._cancel(port, startup, writer)
                    return
                server = await self._upstream.session((reader, writer), startup)
        except LoginError as error:
            writer.write(error.answer)
            writer.close()
            return
        except protocol.DirectTlsError as error:
            log.warning("%s: %s", port.replica, error)
            writer.close()
            return
        except protocol.ProtocolError as error:
            writer.write(protocol.error_response("08P01", f"onceproof wire: {error}"))
            writer.close()
            return
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            writer.write(
                protocol.error_response("08006", f"onceproof wire: no database: {error!r}")
            )
            writer.close()
            return
        connection = Connection(
            next(self._numbers), port, self.gates, self._trace, (reader, writer), server
        )
        port.connections.add(connection)
        try:
            await connection.run(startup)
        finally:
            port.connections.discard(connection)

    async def _cancel(self, port: Port, request: bytes, client: asyncio.StreamWriter) -> None:
        """Forward a cancel request; that of a held flight once the flight is with the server."""
        key = request[8:]
        for connection in port.connections:
            if connection.conversation.cancel_key != key:
                continue
            if connection.held or connection.conversation.unanswered:
                client.close()  # the asker shall not wait for as long as the hold
                task = asyncio.create_task(self._cancel_later(connection, request))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                return
        await self._forward_cancel(request)
        client.close()

    async def _cancel_later(self, connection: Connection, request: bytes) -> None:
        """Cancel what is held once it runs; a cancel that comes before it does is lost."""
        held = {flight.number for flight in connection.conversation.unanswered}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOLD_MAX_SECONDS):
                await connection.until_running()
                for _ in range(CANCEL_TRIES):
                    now = {flight.number for flight in connection.conversation.unanswered}
                    if not held & now:
                        return
                    with contextlib.suppress(OSError):  # a reset is how some servers say goodbye
                        await self._forward_cancel(request)
                    await asyncio.sleep(CANCEL_SECONDS)

    async def _forward_cancel(self, request: bytes) -> None:
        reader, writer = await self._upstream.connect()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                writer.write(request)
                await reader.read(1)  # Postgres closes once it has taken the request
        finally:
            writer.close()

    # ---------------------------------------------------------------- the controller

    def _parked(self, park: Park) -> None:
        if self._on_park is not None:
            self._on_park(park)
        self._send({"event": "park", "park": park})

    def _ended(self, record: ConnectionTrace) -> None:
        end = ClientEnd(at_ns=record.at_ns, state=record.state, wrote=record.wrote)
        self._send({"event": "end", "replica": record.replica, "connection": record.connection,
                    "end": end})  # fmt: skip

    def _send(self, frame: object) -> None:
        if self._controller is None or self._controller.is_closing():  # it has gone just now
            return
        write_frame(self._controller, frame)
        if self._controller.transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
            log.error("the controller does not read what it is told: it is given up")
            self._controller.transport.abort()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await read_frame(reader)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            writer.close()
            return
        given = str(hello.get("token", ""))
        if not hmac.compare_digest(given.encode(), self._token.encode()) or self._controller:
            write_frame(writer, {"error": "refused: wrong token, or another controller is here"})
            writer.close()
            return
        self._controller = writer
        self._trace.on_client_eof = self._ended
        write_frame(writer, {"welcome": True})
        try:
            while True:
                frame = await read_frame(reader)
                task = asyncio.create_task(self._answer(frame))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            self._controller = None
            self.gates.controller_lost()
            for port in self._ports.values():
                port.heard.set()
            writer.close()

    async def _answer(self, frame: dict[str, Any]) -> None:
        """Carry out one request and answer it."""
        answer: dict[str, Any] = {"id": frame.get("id")}
        try:
            answer["result"] = await self._carry_out(str(frame.get("do")), frame)
        except (
            KeyError,
            TypeError,
            ValueError,
            OSError,
            re.error,
            msgspec.ValidationError,
        ) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        self._send(answer)

    async def _carry_out(self, what: str, frame: dict[str, Any]) -> Any:
        match what:
            case "open":
                return await self.open(frame["replica"])
            case "name":
                return await self._name(frame["address"], frame["replica"])
            case "arm":
                return self.gates.arm(msgspec.convert(frame["rule"], Rule))
            case "disarm":
                return self.gates.disarm(frame["rule_id"])
            case "release":
                return await self.gates.release(frame["hold_id"], frame["action"])
            case "cut":
                return self._cut(frame["replica"], frame["side"], frame.get("connection"))
            case "silence":
                return self._silence(frame["replica"], bool(frame["silent"]))
            case "delay":
                return self._delay(frame["replica"], float(frame["seconds"]))
            case "flush":
                return self._trace.flush()
            case "state":
                return self._state()
        raise ValueError(f"unknown request {what!r}")

    async def open(self, replica: str) -> int:
        """The port of a replica: the same one whenever it is asked for."""
        port = self.port(replica)
        if port.number:
            return port.number

        async def accept(reader: Tap, writer: asyncio.StreamWriter) -> None:
            await self._accept(port, reader, writer)

        listener = await listen(accept, self._host, 0)
        self._listeners.append(listener)
        port.number = int(listener.sockets[0].getsockname()[1])
        return port.number

    async def _name(self, address: str, replica: str | None) -> None:
        """Tell whose connections those of an address are."""
        if replica is not None:
            self.port(replica)
        await self._addresses.name(address, replica)

    def port(self, replica: str) -> Port:
        """What the connections of a replica share."""
        if replica not in self._ports:
            self._ports[replica] = Port(replica, self._delay_seconds)
        return self._ports[replica]

    def _cut(self, replica: str, side: str, number: int | None) -> int:
        chosen = [
            connection
            for connection in self._ports[replica].connections
            if number is None or connection.number == number
        ]
        for connection in chosen:
            connection.cut(side)
        return len(chosen)

    def _silence(self, replica: str, silent: bool) -> None:
        heard = self._ports[replica].heard
        if silent:
            heard.clear()
        else:
            heard.set()

    def _delay(self, replica: str, seconds: float) -> None:
        if replica == "*":
            self._delay_seconds = seconds
        for port in self._ports.values() if replica == "*" else [self._ports[replica]]:
            port.delay_seconds = seconds

    def _state(self) -> WireState:
        return WireState(
            connections=tuple(
                OpenConnection(
                    replica=port.replica, connection=one.number, backend_pid=talk.backend_pid,
                    state=talk.state, in_flight=talk.in_flight,
                    keys=tuple(sorted(talk.keys)[:SHOWN_MAX]),
                )
                for port in self._ports.values()
                for one in port.connections
                for talk in (one.conversation,)
            )
        )  # fmt: skip
