"""What is known of one connection's conversation: its state and its flights, without any I/O.

Flights are answered in the order in which they were forwarded, several may be under way at once.
A transaction's state is the server's own word (ReadyForQuery); for a flight that is sent before
that word has come it is predicted from the text of what was sent.
"""

import asyncio
import time
from collections import deque
from typing import TypeVar

from cluster.wire import protocol
from cluster.wire.flight import Flight, is_step, state_after, writes
from cluster.wire.statements import FLIGHT_MAX, KEYS_MAX, Statements
from results.records import ConnectionTrace, StatementTrace

UNREAD_MAX = 64  # flights, each of some KB at most
_Item = TypeVar("_Item")


class Conversation:
    """The flights, the transaction and the names of one connection."""

    def __init__(self, replica: str, number: int, application_name: str) -> None:
        self.replica = replica
        self.number = number
        self.backend_pid = 0
        self.cancel_key = b""
        self.state = "I"
        self.ready = False  # the first ReadyForQuery has come
        self.pending: deque[Flight] = deque()  # forwarded, not yet answered
        self.current: Flight | None = None  # being read, delayed or held
        self.statements = Statements()
        self.progress = asyncio.Event()  # set whenever the server finished something
        self.application_name = application_name
        self.eof_ns: int | None = None  # when the client ended
        self._transaction_keys: set[str] = set()
        self._unread: list[Flight] = []  # of the open transaction: their keys are read when asked
        self._flights = 0
        self._steps = 0  # of the open transaction, so far
        self._wrote = False  # the open transaction has, by its text
        self._wrote_rows = False  # the open transaction has, by the server's count

    @property
    def in_flight(self) -> bool:
        """True while an answer is awaited, also of a flight that is held."""
        held = self.current is not None and bool(self.current.sql)
        return held or any(flight.sql for flight in self.pending)

    @property
    def unanswered(self) -> list[Flight]:
        """What was forwarded or held and never answered, oldest first."""
        flights = list(self.pending)
        if self.current is not None and self.current not in flights:
            flights.append(self.current)
        return flights

    @property
    def answered_all(self) -> bool:
        """True while no answer is under way from the server; half a flight gets none."""
        return not any(flight.synced for flight in self.pending)

    @property
    def busy(self) -> bool:
        """In a transaction or awaiting an answer."""
        return self.state != "I" or self.in_flight

    @property
    def keys(self) -> frozenset[str]:
        """The ids seen in the open transaction and in flight."""
        self._read_keys()
        current = self.current.keys if self.current is not None else ()
        return frozenset(self._transaction_keys).union(current, *(f.keys for f in self.pending))

    def flight(self) -> Flight:
        """The flight that the client is sending."""
        if self.current is None:
            self._flights += 1
            state = self.pending[-1].predicted_state() if self.pending else self.state
            step = 1 if state == "I" else self._steps + 1
            wrote = state != "I" and (
                self._wrote or any(writes(sql) for one in self.pending for sql in one.sql)
            )
            self.current = Flight(self._flights, state, step, wrote_before=wrote)
        return self.current

    def forwarded(self, flight: Flight) -> None:
        """Some of a flight goes to the server now."""
        if not flight.queued:
            flight.queued = True
            self.pending.append(flight)
        if flight.sql and flight.forwarded_ns is None:
            flight.forwarded_ns = time.monotonic_ns()
            self._steps = flight.step if is_step(flight.sql) else flight.step - 1

    async def until_executed(self, flight: Flight, statements: int) -> None:
        """Wait until all before a flight is answered, and this many of its own statements.

        Returns as well once the flight failed or copies: then there is nothing to wait for.
        """
        while True:
            if not self.pending or self.pending[0] is flight:
                done = flight.executed >= statements
                if done or flight.sqlstate is not None or flight.copying:
                    return
            self.progress.clear()
            await self.progress.wait()

    def read_answer(self, kind: int, payload: bytes) -> bool:
        """Understand one server message; True for ReadyForQuery."""
        if kind == protocol.READY:
            self.statements.ready()
            return True
        if kind == protocol.COMPLETE and self.pending:  # the most frequent, first
            flight = self.pending[0]
            flight.executed += 1
            flight.copying = False
            flight.tags.append(payload[:-1].decode(errors="replace"))
            self.progress.set()
            return False
        if kind == ord("t"):
            self.statements.parameter_types(payload)
            return False
        if kind == ord("S"):
            self.statements.session_parameter(payload)
            return False
        if kind == ord("K"):
            self.backend_pid = int.from_bytes(payload[:4], "big")
            self.cancel_key = payload
            return False
        if not self.pending:
            return False
        flight = self.pending[0]
        if kind == protocol.COPY_IN:
            flight.copying = True
            flight.sync_swallowed = flight.synced and not flight.simple
        else:  # ErrorResponse, EmptyQueryResponse, PortalSuspended
            flight.executed += 1
            flight.copying = False
            if kind == protocol.PORTAL_SUSPENDED:
                flight.tags.append(payload[:-1].decode(errors="replace"))
            elif kind == ord("E") and flight.sqlstate is None:
                flight.sqlstate = protocol.sqlstate(payload)
        self.progress.set()
        return False

    def answered(self, state: str, at_ns: int) -> Flight | None:
        """A ReadyForQuery has come: the flight that it ends, still the first of `pending`."""
        self.state = state
        if not self.pending:
            return None
        flight = self.pending[0]
        flight.replied_ns, flight.state_after = at_ns, state
        return flight

    def finished(self, flight: Flight) -> None:
        """The answer of the first flight has been given to the client, or withheld for good."""
        self.pending.popleft()
        if flight.state_after == "I":
            self._transaction_keys.clear()
            self._unread.clear()
            self._wrote = self._wrote_rows = False
        else:
            self._unread.append(flight)
            if len(self._unread) >= UNREAD_MAX:
                self._read_keys()
            self._wrote = self._wrote or any(map(writes, flight.sql))
            self._wrote_rows = self._wrote_rows or flight.wrote_rows
        self.progress.set()

    def _read_keys(self) -> None:
        for flight in self._unread:
            if len(self._transaction_keys) < KEYS_MAX:
                self._transaction_keys.update(flight.keys)
        self._unread.clear()

    @property
    def _open_writes(self) -> bool:
        """The open transaction has written rows, and no end of it is under way."""
        if self.state == "I" or any(state_after("T", one.sql) == "I" for one in self.pending):
            return False
        return self._wrote_rows or any(one.wrote_rows for one in self.pending)

    def connection_trace(self, event: str, at_ns: int) -> ConnectionTrace:
        """An opening or an end, with the state at that moment."""
        return ConnectionTrace(
            replica=self.replica, connection=self.number, event=event, at_ns=at_ns,
            backend_pid=self.backend_pid, state=self.state, in_flight=self.in_flight,
            application_name=self.application_name, wrote=self._open_writes,
        )  # fmt: skip

    def statement_trace(self, flight: Flight) -> StatementTrace:
        """What is stored of a flight."""
        return StatementTrace(
            replica=self.replica, connection=self.number, backend_pid=self.backend_pid,
            flight=flight.number, sql=_some(flight.sql), parameters=_some(flight.parameters),
            keys=tuple(dict.fromkeys(flight.keys)), received_ns=flight.received_ns,
            forwarded_ns=flight.forwarded_ns, replied_ns=flight.replied_ns,
            returned_ns=flight.returned_ns, state_before=flight.state_before,
            state_after=flight.state_after, tags=_some(flight.tags), sqlstate=flight.sqlstate,
            hold_id=flight.hold_id,
        )  # fmt: skip


def _some(items: list[_Item]) -> tuple[_Item, ...]:
    """The first ones, and the last: a COMMIT stands at the end."""
    if len(items) <= FLIGHT_MAX:
        return tuple(items)
    return (*items[:FLIGHT_MAX], *items[FLIGHT_MAX:][-1:])
