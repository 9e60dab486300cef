"""Whether a process has nothing to do: all of its threads sleep.

Linux tells it in /proc. Elsewhere nothing is known, and a process that has answered counts as one
that has nothing to do; what it still does is then seen a moment later.
"""

import os

SLEEPING = b"STZX"


def asleep(pid: int | None) -> bool:
    """True when no thread of it runs, or when nobody can tell."""
    if pid is None:
        return True
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - ten thousand times a second
    except OSError:
        return True
    return all(_state(pid, thread) in SLEEPING for thread in threads)


def slices(pid: int | None) -> int:
    """How often its main thread has been given the processor; 0 when nobody can tell."""
    try:
        file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        try:
            return int(os.read(file, 128).split()[2])
        finally:
            os.close(file)
    except (OSError, IndexError, ValueError):
        return 0


def _state(pid: int, thread: str) -> bytes:
    try:
        file = os.open(f"/proc/{pid}/task/{thread}/stat", os.O_RDONLY)
        try:
            stat = os.read(file, 512)
        finally:
            os.close(file)
    except OSError:
        return b"X"
    return stat.rpartition(b")")[2][1:2]
