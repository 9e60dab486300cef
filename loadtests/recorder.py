"""The history of what was sent, written by the process that sends it.

The intents of a whole burst are one `write(2)` before its first byte leaves: whatever kills this
process afterwards, the attempts are on record and read as `info`. A completion is one write each.
The file is fsynced by a timer (`sync`, called by whoever owns the clock), not per record. It says
when it is `full`; what is under way then is recorded all the same.
"""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from results.records import Completion, GeneratorEnd, Intent, Outcome

HISTORY_MAX_BYTES = 4 << 30  # some ten million deliveries
ERROR_MAX_CHARACTERS = 300
DEFINITE_FAILURES = frozenset({400, 401, 404, 413})


class Recorder:
    """Appends to one history file; may be called from several threads or greenlets."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()
        self._bytes = os.fstat(self._file).st_size

    @property
    def full(self) -> bool:
        """True when the file has reached its limit: nothing more should be begun."""
        return self._bytes > HISTORY_MAX_BYTES

    def intend(self, intents: Iterable[Intent]) -> None:
        """Record a burst before its first byte."""
        self._write(b"".join(msgspec.json.encode(intent) + b"\n" for intent in intents))

    def complete(
        self,
        attempt_id: str,
        *,
        sent_ns: int | None,
        status: int | None,
        error: str | None,
    ) -> Outcome:
        """Record what came back; returns the outcome that it means for the sender."""
        outcome = outcome_of(sent_ns, status)
        self._write(
            msgspec.json.encode(
                Completion(
                    attempt_id=attempt_id,
                    sent_ns=sent_ns,
                    done_ns=time.monotonic_ns(),
                    outcome=outcome,
                    status=status,
                    error=error and error[:ERROR_MAX_CHARACTERS],
                )
            )
            + b"\n"
        )
        return outcome

    def end(self, *, worker: int, planned: int, sent: int, shed: int) -> None:
        """The last line: without it the history counts as cut short."""
        record = GeneratorEnd(
            worker=worker,
            planned_orders=planned,
            sent_orders=sent,
            shed_orders=shed,
            at_ns=time.monotonic_ns(),
        )
        self._write(msgspec.json.encode(record) + b"\n")
        self.sync()

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        os.fsync(self._file)

    def _write(self, content: bytes) -> None:
        with self._lock:
            self._bytes += len(content)
            view = memoryview(content)
            while view:
                view = view[os.write(self._file, view) :]


def outcome_of(sent_ns: int | None, status: int | None) -> Outcome:
    """The sender's view (docs/exactly-once.md): 2xx, provably nothing, or anything else."""
    if sent_ns is None:
        return Outcome.FAIL
    if status is None:
        return Outcome.INFO
    if 200 <= status < 300:
        return Outcome.OK
    return Outcome.FAIL if status in DEFINITE_FAILURES else Outcome.INFO
