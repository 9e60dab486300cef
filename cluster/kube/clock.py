"""How far a pod's monotonic clock is from ours.

All records of a run are read as if one clock had stamped them. Two processes of one kernel share
`CLOCK_MONOTONIC`, and a kernel has an id of its boot: where the ids agree there is nothing to
shift. Else the pod is asked for its clock a few times; the answer with the shortest way there and
back wins, and half of that way is how wrong it may be.

Limits: two clocks drift by some milliseconds a minute, which the error is widened by.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from cluster.kube.channels import execute
from cluster.kube.gateway import Gateway
from results.errors import ClusterError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ASK = (
    "import time;print(open('/proc/sys/kernel/random/boot_id').read().strip(),time.monotonic_ns())"
)
PINGS = 5
EXEC_SECONDS = 15.0
DRIFT_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What to add to a pod's nanoseconds to have ours, and how wrong that may be."""

    boot_id: str
    shift_ns: int
    error_ns: int


async def measure(
    gateway: Gateway, pod: str, container: str, *, python: str = "python"
) -> ClockOffset:
    """Ask a pod's kernel; ClusterError when it cannot be asked."""
    best: ClockOffset | None = None
    for _ in range(PINGS):
        asked_ns = time.monotonic_ns()
        answer = await execute(
            gateway, pod, container, (python, "-c", ASK), timeout_seconds=EXEC_SECONDS
        )
        answered_ns = time.monotonic_ns()
        if answer.status != 0:
            raise ClusterError(f"The clock of {pod} could not be read: {answer.said}.")
        boot_id, there = answer.stdout.decode().split()
        if boot_id == own_boot_id():
            return ClockOffset(boot_id, 0, 0)
        half_ns = (answered_ns - asked_ns) // 2
        if best is None or half_ns + DRIFT_NS < best.error_ns:
            best = ClockOffset(boot_id, asked_ns + half_ns - int(there), half_ns + DRIFT_NS)
    assert best is not None
    return best


def own_boot_id() -> str:
    """Which boot of which kernel this is; "" where nobody says (macOS)."""
    return BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.is_file() else ""
