"""Appends the wire's records to its file: buffered for a moment, written with one write(2).

Limits: `FILE_MAX_BYTES`; beyond it nothing more is traced.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from results.records import ConnectionTrace, HoldTrace, StatementTrace

FILE_MAX_BYTES = 512 << 20
BUFFER_MAX_BYTES = 1 << 18
FLUSH_SECONDS = 0.05


class Trace:
    """The wire's file."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._buffer = bytearray()
        self._written = 0
        self._encoder = msgspec.json.Encoder()
        self.on_client_eof: Callable[[ConnectionTrace], None] | None = None

    def add(self, record: StatementTrace | ConnectionTrace | HoldTrace) -> None:
        """Trace one thing that happened; whoever waits for a client's end hears of it."""
        if isinstance(record, ConnectionTrace) and record.event == "client-eof":
            self.flush()
            if self.on_client_eof is not None:
                self.on_client_eof(record)
        if self._written + len(self._buffer) > FILE_MAX_BYTES:
            return
        self._buffer += self._encoder.encode(record) + b"\n"
        if len(self._buffer) > BUFFER_MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        view = memoryview(bytes(self._buffer))
        self._buffer.clear()
        self._written += len(view)
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._file)
