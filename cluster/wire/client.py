"""Drives a wire: the controller's end of its control stream.

One reader task sorts what comes: answers by id, parks by rule, ends by connection. Every call has
a deadline. When the stream breaks, or nothing answers in time, `lost` is set and every call raises
HarnessError: a run that has lost its wire proves nothing. Of what nobody asks for, the oldest is
forgotten.

A wire on another kernel has another clock. Its times are told on ours; the end of a client, which
must come after a kill to prove anything, as early as it can have been.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from typing import Any

import msgspec
from msgspec.structs import replace

from cluster.wire.frames import read_frame, write_frame
from cluster.wire.rules import Action, ClientEnd, Park, Rule, Side, WireState
from results.errors import ClusterError, HarnessError

__all__ = ["Park", "Rule", "Wire", "WireState"]
CALL_SECONDS = 10.0
PARKS_MAX = 1_000  # of all rules, not yet asked for
ENDS_MAX = 10_000


class Wire:
    """A controlled wire."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shift_ns: int = 0,
        error_ns: int = 0,
    ) -> None:  # fmt: skip
        self._shift_ns = shift_ns
        self._error_ns = error_ns
        self.lost = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._parks: deque[Park] = deque(maxlen=PARKS_MAX)
        self._ends: dict[tuple[str, int], ClientEnd] = {}
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, host: str, port: int, token: str, *, timeout_seconds: float = 5.0, shift_ns: int = 0,
        error_ns: int = 0,
    ) -> "Wire":  # fmt: skip
        """Become the wire's controller; ClusterError when it refuses.

        `shift_ns` added to its clock gives ours, give or take `error_ns`.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                reader, writer = await asyncio.open_connection(host, port)
                write_frame(writer, {"token": token})
                welcome = await read_frame(reader)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise ClusterError(f"The wire at {host}:{port} does not answer: {error!r}.") from error
        if not welcome.get("welcome"):
            writer.close()
            raise ClusterError(f"The wire at {host}:{port} {welcome.get('error', 'refused')}.")
        return cls(reader, writer, shift_ns, error_ns)

    async def open_port(self, replica: str) -> int:
        """A port for this replica's connections: what belongs into its database URL."""
        return int(await self._call("open", replica=replica))

    async def name(self, address: str, replica: str | None) -> None:
        """Which replica a client from this address is; None: none any more."""
        await self._call("name", address=address, replica=replica)

    async def arm(self, rule: Rule) -> None:
        """Hold what matches from now on."""
        await self._call("arm", rule=rule)

    async def disarm(self, rule_id: str) -> None:
        """Hold no more by this rule; what is parked stays parked."""
        await self._call("disarm", rule_id=rule_id)

    async def next_park(self, rule_id: str, *, timeout_seconds: float) -> Park | None:
        """The next flight that this rule parked; None at the deadline."""
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                while (park := self._first_park(rule_id)) is None:
                    await self._changed.wait()
                self._parks.remove(park)
                return park
        except TimeoutError:
            return None

    async def release(self, hold_id: str, action: Action) -> bool:
        """Let a flight go, or never; complete on return. False: it had ended by itself."""
        return bool(await self._call("release", hold_id=hold_id, action=action))

    async def cut(self, replica: str, side: Side, connection: int | None = None) -> int:
        """Abort connections of a replica; returns how many."""
        return int(await self._call("cut", replica=replica, side=side, connection=connection))

    async def silence(self, replica: str, silent: bool) -> None:
        """Keep the ends of a replica's connections from Postgres, or tell them (also late)."""
        await self._call("silence", replica=replica, silent=silent)

    async def delay(self, replica: str, seconds: float) -> None:
        """Delay each step of a replica (`*`: all): widens every race window."""
        await self._call("delay", replica=replica, seconds=seconds)

    async def state(self) -> WireState:
        """Everything that is open now."""
        return msgspec.convert(await self._call("state"), WireState)

    async def flush(self) -> None:
        """Have everything written that was traced so far."""
        await self._call("flush")

    async def wait_end(
        self, replica: str, connection: int, *, timeout_seconds: float
    ) -> ClientEnd | None:
        """How the client's side of a connection ended; None at the deadline."""
        key = (replica, connection)
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: key in self._ends)
        except TimeoutError:
            return None
        return self._ends[key]

    async def close(self) -> None:
        """Give up control; holds pass and rules go."""
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._reading

    def _first_park(self, rule_id: str) -> Park | None:
        return next((park for park in self._parks if park.rule_id == rule_id), None)

    async def _call(self, what: str, **arguments: object) -> Any:
        if self.lost.is_set():
            raise HarnessError("The control of the wire was lost. Run again; see logs/wire.log.")
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        write_frame(self._writer, {"id": number, "do": what, **arguments})
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await future
        except TimeoutError:
            self.lost.set()  # its way is cut, or it hangs: nothing that comes later proves anything
            raise HarnessError(f"The wire did not answer {what!r} in time.") from None
        finally:
            self._answers.pop(number, None)

    async def _read(self) -> None:
        try:
            while True:
                await self._sort(await read_frame(self._reader))
        except (OSError, ValueError, asyncio.IncompleteReadError):
            self.lost.set()
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(HarnessError("The control of the wire was lost."))

    async def _sort(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"event": "park", "park": park}:
                async with self._changed:
                    found = msgspec.convert(park, Park)
                    parked_ns = found.parked_ns + self._shift_ns
                    self._parks.append(replace(found, parked_ns=parked_ns))
                    self._changed.notify_all()
            case {"event": "end", "replica": replica, "connection": connection, "end": end}:
                async with self._changed:
                    told = msgspec.convert(end, ClientEnd)
                    at_ns = told.at_ns + self._shift_ns - self._error_ns
                    self._ends[(replica, connection)] = replace(told, at_ns=at_ns)
                    if len(self._ends) > ENDS_MAX:
                        self._ends.pop(next(iter(self._ends)))
                    self._changed.notify_all()
            case {"id": number}:
                future = self._answers.get(number)
                if future is not None and not future.done():
                    if "error" in frame:
                        future.set_exception(HarnessError(f"The wire: {frame['error']}"))
                    else:
                        future.set_result(frame.get("result"))
