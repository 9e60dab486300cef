"""Whether processes are gone: a zombie counts as gone.

A zombie waits for its parent alone. In a container whose first process reaps nobody it stays for
ever, and waiting for its pid to vanish would cost every deadline there is.
"""

import contextlib
import time
from collections.abc import Iterable

import psutil

_POLL_SECONDS = 0.01


def lives(process: psutil.Process) -> bool:
    """True while a process can still do something."""
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def all_gone(processes: Iterable[psutil.Process], *, timeout_seconds: float) -> bool:
    """Wait until none of them lives; False at the deadline."""
    waiting = list(processes)
    deadline = time.monotonic() + timeout_seconds
    while any(map(lives, waiting)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
