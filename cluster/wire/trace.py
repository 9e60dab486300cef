"""Appends the wire's records to its file: buffered for a moment, written with one write(2).

Limits: `FILE_MAX_BYTES`; beyond it, or when the disk refuses, nothing more is traced. The log says
so, and as soon as there is room the file too: its last record is the ConnectionTrace `trace-full`
of no connection, and a run with it is not called valid. Relaying goes on.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight
from results.records import ConnectionTrace, HoldTrace, StatementTrace

FILE_MAX_BYTES = 512 << 20
BUFFER_MAX_BYTES = 1 << 18
FLIGHTS_MAX = 64  # to encode them stops the relay for a quarter of a millisecond
FLUSH_SECONDS = 0.05
log = logging.getLogger(__name__)


class Trace:
    """The wire's file."""

    def __init__(self, file: Path, *, max_bytes: int = FILE_MAX_BYTES) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._buffer = bytearray()
        self._flights: list[tuple[Conversation, Flight]] = []  # not encoded yet, oldest first
        self._left = max_bytes - os.fstat(self._file).st_size
        self._stopped = False
        self._encoder = msgspec.json.Encoder()
        self.on_client_eof: Callable[[ConnectionTrace], None] | None = None
        self.on_statement: Callable[[StatementTrace], None] | None = None

    def add_flight(self, conversation: Conversation, flight: Flight) -> None:
        """Trace a flight that is over; unless somebody waits for it, it is encoded by the clock."""
        if self.on_statement is not None:
            self.add(conversation.statement_trace(flight))
        elif not self._stopped:
            self._flights.append((conversation, flight))
            if len(self._flights) >= FLIGHTS_MAX:
                self._encode_flights()

    def add(self, record: StatementTrace | ConnectionTrace | HoldTrace) -> None:
        """Trace one thing that happened; whoever waits for such a thing hears of it."""
        self._encode_flights()
        if isinstance(record, ConnectionTrace) and record.event == "client-eof":
            self.flush()
            if self.on_client_eof is not None:
                self.on_client_eof(record)
        if self.on_statement is not None and isinstance(record, StatementTrace):
            self.on_statement(record)
        self._append(record)

    def _encode_flights(self) -> None:
        flights, self._flights = self._flights, []
        for conversation, flight in flights:
            self._append(conversation.statement_trace(flight))

    def _append(self, record: StatementTrace | ConnectionTrace | HoldTrace) -> None:
        if self._stopped:
            return
        line = self._encoder.encode(record) + b"\n"
        self._left -= len(line)
        if self._left < 0:
            self._stop("the file has reached its limit")
            line = self._encoder.encode(_full()) + b"\n"
        self._buffer += line
        if len(self._buffer) > BUFFER_MAX_BYTES:
            self._write()

    def flush(self) -> None:
        """Write what is buffered."""
        self._encode_flights()
        self._write()

    def _write(self) -> None:
        if not self._buffer:
            return
        view = memoryview(bytes(self._buffer))
        self._buffer.clear()
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._stop(str(error))
            # What was not written is lost; that it was is tried again until there is room for it.
            self._buffer[:] = b"\n" + self._encoder.encode(_full()) + b"\n"

    def close(self) -> None:
        """Flush and close; whatever comes later is not traced."""
        self.flush()
        self._stopped = True
        os.close(self._file)

    def _stop(self, why: str) -> None:
        if not self._stopped:
            log.error("tracing stopped: %s", why)
        self._stopped = True


def _full() -> ConnectionTrace:
    return ConnectionTrace(
        replica="", connection=0, backend_pid=0, event="trace-full", at_ns=time.monotonic_ns(),
        state="I", in_flight=False,
    )  # fmt: skip
