"""The holds of one connection: what a rule keeps from the server or from the client, and its end.

The server's connection outlives its client for as long as a hold lasts: only so can a COMMIT be
forwarded after its sender's death.
"""

import asyncio

from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight
from cluster.wire.gates import Gates, Hold
from cluster.wire.port import Port
from cluster.wire.rules import Point
from cluster.wire.sides import SETTLE_SECONDS, Sides
from cluster.wire.trace import Trace


class Dropped(Exception):  # noqa: N818 - it is an order carried out, no error
    """A hold was released with `drop`: this connection is over."""


class Holds:
    """What is held of one connection."""

    def __init__(
        self, port: Port, gates: Gates, trace: Trace, conversation: Conversation, sides: Sides
    ) -> None:
        self._port = port
        self._gates = gates
        self._trace = trace
        self._conversation = conversation
        self._sides = sides
        self._open: set[Hold] = set()
        self._none_open = asyncio.Event()  # no hold is open or being carried out
        self._none_open.set()
        self._running = asyncio.Event()  # nothing is kept from the server
        self._running.set()

    @property
    def held(self) -> bool:
        """True while a flight is kept from the server."""
        return not self._running.is_set()

    async def until_running(self) -> None:
        """Wait until nothing of this connection is held before the server."""
        await self._running.wait()

    async def until_none(self) -> None:
        """Wait until no hold of any kind is left."""
        await self._none_open.wait()

    async def gate(self, point: Point, flight: Flight, statements: list[str]) -> list[Hold]:
        """Hold the flight if a rule claims it; raises Dropped when it shall never pass."""
        conversation = self._conversation
        armed = self._gates.claim(point, conversation, flight, statements)
        if armed is None:
            return []
        others = sum(
            other.conversation is not conversation and other.conversation.busy
            for other in self._port.connections
        )
        self._trace.flush()
        hold = self._gates.park(armed, flight, conversation, others_in_flight=others)
        self._open.add(hold)
        self._none_open.clear()
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

    async def gate_reply(self, flight: Flight) -> list[Hold]:
        """Hold the answer: as a rule says, or because the COMMIT's own hold goes on with it."""
        hold = flight.reply_hold
        if hold is None:
            return await self.gate("reply", flight, flight.sql)
        if flight.committed:
            self._trace.flush()
            self._gates.go_on(hold)
            if await self._gates.decision(hold) == "drop":
                await self._sides.drop()
                raise Dropped
        return [hold]

    def settle(self, holds: list[Hold], flight: Flight) -> None:
        """They have passed: they end when the server has answered the flight, or is too slow."""
        if holds:
            flight.passed = holds
            loop = asyncio.get_running_loop()
            flight.settling = loop.call_later(SETTLE_SECONDS, self.settled, flight)

    def settled(self, flight: Flight) -> None:
        """The server has answered: what let the flight pass is complete."""
        if flight.settling is not None:
            flight.settling.cancel()
        holds, flight.passed = flight.passed, []
        for hold in holds:
            self.end(hold)

    def end(self, hold: Hold) -> None:
        """What was decided has been carried out."""
        self._gates.done(hold)
        self._open.discard(hold)
        if not self._open:
            self._none_open.set()

    def end_all(self) -> None:
        """The connection is over, and so are its holds."""
        for hold in list(self._open):
            self.end(hold)
