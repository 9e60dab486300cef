"""The history of a pump: the lines of intents before their first byte, completions after.

Bursts that come together are one write(2), and so are answers that came together. A completion is
on file before Locust hears of it; one that was lost with the process reads as `info`. Whoever
handed the bursts over syncs the file by its clock (`loadtests.recorder`), since an fsync takes
longer than the next burst can wait.
"""

import os

import msgspec

from loadtests.recorder import ERROR_MAX_CHARACTERS, outcome_of
from results.records import Completion, GeneratorEnd

_encoder = msgspec.json.Encoder()


class Book:
    """Appends to one history file."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._completions: list[bytes] = []

    def intend(self, lines: list[bytes]) -> None:
        """Record what is about to be sent."""
        self._write(b"".join(lines))

    def complete(
        self, attempt_id: str, sent_ns: int | None, done_ns: int, status: int | None,
        error: str | None,
    ) -> None:  # fmt: skip
        """Record what became of it with the next `flush`."""
        self._completions.append(
            _encoder.encode(
                Completion(
                    attempt_id=attempt_id, sent_ns=sent_ns, done_ns=done_ns,
                    outcome=outcome_of(sent_ns, status), status=status,
                    error=error and error[:ERROR_MAX_CHARACTERS],
                )
            )
        )  # fmt: skip

    def flush(self) -> None:
        """Write the completions."""
        if self._completions:
            self._completions.append(b"")
            self._write(b"\n".join(self._completions))
            self._completions.clear()

    def close(self, end: GeneratorEnd) -> None:
        """The last line."""
        self.flush()
        self._write(_encoder.encode(end) + b"\n")
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, content: bytes) -> None:
        written = os.write(self._file, content)
        while written < len(content):
            written += os.write(self._file, content[written:])
