"""What children say: one file each, which they append to themselves.

Nothing of ours stands between a child and its log, so a frozen or dead runner never blocks a
replica, and its last words are there after any end. The price is that the limit is kept from
outside, once a second: a log beyond it starts again from nothing. And a service that tells its
own secrets (its database's URL, often) tells them to a file: they are blotted out when the run
ends, and in last words at once. A run that was killed has no end; a secret that the service
spells in another way is not found.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_LIMIT_BYTES = 8 * 1024 * 1024
_CHECK_SECONDS = 1.0
_LAST_BYTES = 1 << 16
_SHOWN_CHARACTERS = 2048
_LOOKED_AT = 30  # lines
_TELLING = re.compile(r"error|exception|cannot|fatal|panic", re.IGNORECASE)
_SECRET_MIN = 4  # characters: what is shorter is in every other word
_BLOT = "‹secret›".encode()


class ChildLogs:
    """The logs of all children in one folder."""

    def __init__(self, folder: Path, secrets: Iterable[str] = ()) -> None:
        self.folder = folder
        self._secrets = [secret.encode() for secret in secrets if len(secret) >= _SECRET_MIN]
        self._secrets.sort(key=len, reverse=True)  # one may be part of another

    def open(self, name: str) -> BinaryIO:
        """The log of a child, to be given to it as its output."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.path(name).open("ab")

    def path(self, name: str) -> Path:
        """Where a child's log lies."""
        return self.folder / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The last lines of a child, for an error message; without secrets."""
        with contextlib.suppress(OSError), self.path(name).open("rb") as file:
            begin = max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES)
            file.seek(begin)
            said = file.read(_LAST_BYTES)
            # The line that was cut in front may begin with the rest of a secret.
            whole = said.partition(b"\n")[2] if begin else said
            said_lines = self._blotted(whole).decode("utf-8", "replace").splitlines()
            lines = [line.strip() for line in said_lines if line.strip()]
            if lines:
                # Some end with a stack or a farewell, and what matters stands before it.
                telling = [line for line in lines[-_LOOKED_AT:] if _TELLING.search(line)]
                return " / ".join(telling[-2:] or lines[-3:])[-_SHOWN_CHARACTERS:]
        return "nothing"

    async def bound(self) -> None:
        """Keep every log of the folder below its limit until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for path in self.folder.glob("*.log"):
                with contextlib.suppress(OSError):
                    if os.stat(path).st_size > _LIMIT_BYTES:  # noqa: PTH116
                        os.truncate(path, 0)

    def blot(self) -> None:
        """Take the secrets out of every log; for when all children have ended."""
        for path in self.folder.glob("*.log"):
            with path.open("rb") as file:
                said = file.read(2 * _LIMIT_BYTES)
            clean = self._blotted(said)
            if clean != said or path.stat().st_size > len(said):
                path.write_bytes(clean)

    def _blotted(self, said: bytes) -> bytes:
        for secret in self._secrets:
            said = said.replace(secret, _BLOT)
        return said
