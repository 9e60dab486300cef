"""A wall clock that is wrong for one process and all below it: libfaketime, preloaded.

CLOCK_REALTIME is shifted and runs on at its speed; CLOCK_MONOTONIC is left alone, so time-outs and
timers keep their lengths, as on a machine whose clock was set wrong. The library is found by asking
the `faketime` command, which knows where its distribution put it, and is tried before it is used.

Limits: Linux; only what asks the C library for the time is fooled (a Go program asks the kernel
itself), which the evidence of the fault must show. libfaketime up to 0.9.10 makes sleeps until a
monotonic time fail (`clock_nanosleep`; `time.sleep` of Python 3.11 and newer): the trial finds it.
Up to then, too, one that is killed leaves two small objects in /dev/shm, removed by its pid.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from results.errors import ClusterError

_WRAPPER = ("faketime", "-m", "-f", "+0s", "printenv", "LD_PRELOAD")
_TRIAL = """
import time
try:
    time.sleep(0.001)
    sleeps = 1
except OSError:
    sleeps = 0
print(time.time(), time.monotonic(), sleeps)
"""
_TRIAL_SKEW_SECONDS = -86_400
_TRIAL_TOLERANCE_SECONDS = 20.0
_DEADLINE_SECONDS = 10.0
_SHARED_MEMORY = ("faketime_shm_{pid}", "sem.faketime_sem_{pid}")


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """A libfaketime that was tried on this machine."""

    library: str  # as LD_PRELOAD takes it; may hold $LIB
    flaw: str = ""  # what else it does to a process

    @classmethod
    def find(cls) -> "SkewedClock":
        """Find and try the library; ClusterError with what to install."""
        try:
            asked = _output(_WRAPPER, dict(os.environ))
        except (OSError, subprocess.SubprocessError):
            raise ClusterError("install faketime (Debian: apt-get install faketime)") from None
        library = asked.strip().partition(":")[0]
        found = cls(library)
        try:
            words = _output((sys.executable, "-SIc", _TRIAL), found._tried()).split()
            wall_seconds, monotonic_seconds, sleeps = map(float, words)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise ClusterError(f"{library} cannot be preloaded: {error}") from None
        skew = wall_seconds - time.time() - _TRIAL_SKEW_SECONDS
        drift = monotonic_seconds - time.monotonic()
        if max(abs(skew), abs(drift)) > _TRIAL_TOLERANCE_SECONDS:
            raise ClusterError(f"{library} does not shift the wall clock alone; try a newer one")
        if sleeps:
            return found
        return cls(library, "sleeps until a monotonic time fail under it (clock_nanosleep)")

    def environment(self, seconds: int) -> dict[str, str]:
        """The variables of a process whose clock is so many seconds ahead; negative: behind."""
        others = os.environ.get("LD_PRELOAD")
        return {
            "LD_PRELOAD": f"{self.library}:{others}" if others else self.library,
            "FAKETIME": f"{seconds:+d}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",  # versions after 0.9.10
            "NO_FAKE_STAT": "1",  # files keep the times that they have
        }

    def _tried(self) -> dict[str, str]:
        return {**os.environ, **self.environment(_TRIAL_SKEW_SECONDS)}


def available() -> tuple[bool, str]:
    """Whether clocks can be skewed here, and by what; or what it would take."""
    try:
        clock = SkewedClock.find()
    except ClusterError as error:
        return False, str(error)
    return True, clock.library + (f"; but {clock.flaw}" if clock.flaw else "")


def remove_shared_memory(pid: int) -> None:
    """Remove the names of what libfaketime shares below this process; harmless while it runs."""
    for name in _SHARED_MEMORY:
        Path("/dev/shm", name.format(pid=pid)).unlink(missing_ok=True)


def _output(command: tuple[str, ...], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True, timeout=_DEADLINE_SECONDS,
    ).stdout  # fmt: skip
