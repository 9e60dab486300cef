"""One run at a time on one target.

Two runs that crash replicas of the same service would each take the other's faults for its own.
The lock is an flock on a file below the runs folder: the kernel gives it back when its holder
ends, however it ends, so there is never a stale one. The file itself stays; it names the last
holder, which is only true while the lock is held.

Limits: one machine, and a runs folder on a local disk.
"""

import fcntl
import os
import re
from pathlib import Path
from typing import Self

from results.errors import ClusterError, HarnessError


class RunLock:
    """Holds `<runs>/.locks/<target>.lock` from `acquire` (or `with`) to `release`."""

    def __init__(self, runs: Path, target: str) -> None:
        self.target = target
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", target).strip(".-") or "default"
        self.path = runs / ".locks" / f"{name[:120]}.lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock at once, or raise ClusterError that names who has it.

        HarnessError when the runs folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise HarnessError(
                f"The run's folder could not be made below {self.path.parents[1]}: {error}. "
                "Choose another one with --runs."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 64, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise ClusterError(
                f"another run works on {self.target!r} (process {holder}): "
                "wait for it or end it, then run again"
            ) from None
        except OSError:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
