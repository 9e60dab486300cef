"""One connection through the wire: two sockets, what passes between them, and its end.

`wire.requests` is the way to the server, `wire.answers` the way back; each passes what need not
wait in the loop's own read, and has a task for what must. Every queue is bounded, so a slow side
slows the other. The server's connection outlives the client for as long as a hold lasts.
"""

import asyncio
import logging
import time

from cluster.wire import protocol
from cluster.wire.answers import Answers
from cluster.wire.conversation import Conversation
from cluster.wire.gates import Gates
from cluster.wire.holds import Dropped, Holds
from cluster.wire.port import Port
from cluster.wire.requests import HOLD_MAX_SECONDS, Requests
from cluster.wire.sides import Sides
from cluster.wire.tap import Streams
from cluster.wire.trace import Trace

EXPECTED = (OSError, asyncio.IncompleteReadError, protocol.ProtocolError, Dropped)
log = logging.getLogger(__name__)


class Connection:
    """A client, a server, and the gates between them."""

    def __init__(
        self, number: int, port: Port, gates: Gates, trace: Trace, client: Streams, server: Streams
    ) -> None:
        self.number = number
        self.port = port
        self.isolation = ""  # what the startup message said that may be about it
        self.conversation = Conversation(port.replica, number, "")
        self._trace = trace
        self._sides = Sides(client, server)
        self._holds = Holds(port, gates, trace, self.conversation, self._sides)
        self._requests = Requests(
            port, gates, trace, self.conversation, self._sides, self._holds
        )  # fmt: skip
        self._answers = Answers(trace, self.conversation, self._sides, self._holds)

    async def run(self, startup: bytes) -> None:
        """Relay until either side ends; always closes both. The startup has been said already."""
        asked = protocol.startup_parameters(startup)
        self.conversation.application_name = asked.get("application_name", "")
        self.isolation = asked.get("default_transaction_isolation", asked.get("options", ""))
        ways = (self._requests, self._answers)
        tasks = [asyncio.create_task(way.run()) for way in ways]
        forwarding, returning = tasks
        try:
            await self._sides.from_client.divert(self._requests.receive, self._requests.end)
            await self._sides.from_server.divert(self._answers.receive, self._answers.end)
            # The client's end alone ends nothing: a held flight is seen through, and what was
            # forwarded is answered: who sends no more may still listen.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if forwarding.done() and forwarding.exception() is None:
                await self._sides.end_requests(lambda: self.conversation.answered_all)
                await asyncio.wait((returning,), timeout=HOLD_MAX_SECONDS)
        finally:
            for way in ways:
                way.stop()
            for task in tasks:
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, Exception) and not isinstance(end, EXPECTED):
                    log.error("connection %s of %s", self.number, self.port.replica, exc_info=end)
            await self._sides.close()
            for flight in self.conversation.unanswered:
                if flight.sql:
                    self._trace.add_flight(self.conversation, flight)
            self._holds.end_all()

    def cut(self, side: str) -> None:
        """Abort a side at once, without a goodbye."""
        self._sides.cut.update(("client", "server") if side == "both" else (side,))
        self._trace.add(self.conversation.connection_trace("cut", time.monotonic_ns()))
        self._sides.abort(side)

    @property
    def eof_ns(self) -> int | None:
        """When the client's side ended; None: it has not."""
        return self.conversation.eof_ns

    @property
    def held(self) -> bool:
        """True while a flight is kept from the server."""
        return self._holds.held

    async def until_running(self) -> None:
        """Wait until nothing of this connection is held before the server."""
        await self._holds.until_running()
