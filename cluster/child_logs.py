"""What children say: one file each, which they append to themselves.

Nothing of ours stands between a child and its log, so a frozen or dead runner never blocks a
replica, and its last words are there after any end. The price is that the limit is kept from
outside, once a second: a log beyond it starts again from nothing.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import BinaryIO

_LIMIT_BYTES = 8 * 1024 * 1024
_CHECK_SECONDS = 1.0
_LAST_BYTES = 2048


class ChildLogs:
    """The logs of all children in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: set[str] = set()

    def open(self, name: str) -> BinaryIO:
        """The log of a child, to be given to it as its output."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._names.add(name)
        return self.path(name).open("ab")

    def path(self, name: str) -> Path:
        """Where a child's log lies."""
        return self.folder / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The last lines of a child, for an error message."""
        with contextlib.suppress(OSError), self.path(name).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
            if lines:
                return " / ".join(lines[-3:])
        return "nothing"

    async def bound(self) -> None:
        """Keep every log below its limit until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for name in self._names:
                with contextlib.suppress(OSError):
                    if os.stat(self.path(name)).st_size > _LIMIT_BYTES:  # noqa: PTH116
                        os.truncate(self.path(name), 0)
