"""A memory cgroup of one replica, with no room left in it: the kernel kills at the next allocation.

Pages stay charged to the group in which they were allocated; moving a process moves none of them.
So the new group begins empty, its limit is 0, and whoever is moved into it cannot be given one page
or one kernel object more: the next request for either invokes the kernel's OOM killer, whose choice
is limited to the group. Neither swap nor the size of the process matters, and nothing else on the
machine comes under pressure. Lowering the limit of a group that holds the pages already is no way:
v1 refuses it with EBUSY.

Both versions are spoken. v1 needs the right to make a folder below our own group. v2 gives a
memory limit only to groups whose parent has the controller switched on for its children, which a
group that holds processes cannot have; so the folder is made beside our own group, or further up.

Limits: Linux. v1 kills one process of the group at a time, v2 (`memory.oom.group`) all at once, as
a kubelet has it. A process that allocates nothing lives on.
"""

import contextlib
import errno
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.journal import Journal
from results.errors import ClusterError
from results.footprint import Created

WHAT_IT_TAKES = (
    "no memory cgroup can be made here. It takes root, or on cgroup v2 a scope of one's own "
    "(systemd-run --user --scope onceproof ...); in a container a writable /sys/fs/cgroup"
)
_REMOVE_SECONDS = 2.0
_POLL_SECONDS = 0.005
_UNKILLABLE = "-1000"


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One cgroup of ours; its name says which run's it is."""

    folder: Path

    @classmethod
    def create(cls, journal: Journal, name: str) -> "MemoryGroup":
        """Journal and make an empty group with a limit of 0; ClusterError where none can be."""
        folder = _parent() / f"{_prefix(journal.owner)}{name}"
        journal.append(Created(path=str(folder), at_ns=time.monotonic_ns()))
        try:
            return _make(folder)
        except OSError as error:
            raise ClusterError(f"{folder} could not be made: {error.strerror}") from error

    def take(self, pid: int) -> None:
        """Move a process and all below it; ClusterError when it has ended."""
        try:
            # A killer that may not kill would refuse the memory instead.
            adjust = Path(f"/proc/{pid}/oom_score_adj")
            if adjust.read_text().strip() == _UNKILLABLE:
                adjust.write_text("0")
            self._move(pid)
            for child in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(ProcessLookupError):
                    self._move(child.pid)
        except psutil.NoSuchProcess:
            return  # the move was enough
        except OSError as error:
            raise ClusterError(f"pid {pid} could not be moved: {error.strerror}") from error

    def oom_kills(self) -> int:
        """How many processes of the group the kernel's OOM killer has killed; OSError if gone."""
        name = "memory.events" if self._is_v2 else "memory.oom_control"
        counts = dict(line.split() for line in (self.folder / name).read_text().splitlines())
        return int(counts["oom_kill"])

    def remove(self) -> bool:
        """End what is still in it and remove it; False if it is still there at the deadline."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                for pid in map(int, (self.folder / "cgroup.procs").read_text().split()):
                    if pid > 0:  # 0: a process of another namespace
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                self.folder.rmdir()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENODEV):
                    return True
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                return True

    @property
    def _is_v2(self) -> bool:
        return (self.folder / "memory.max").exists()

    def _move(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))


def available() -> tuple[bool, str]:
    """Whether a group can be made here, and where; or what it would take."""
    try:
        return True, f"a memory cgroup can be made in {_parent()}"
    except ClusterError as error:
        return False, str(error)


def group_of(path: Path, owner: str) -> MemoryGroup | None:
    """The group at a path, if the run in `owner` may have made it; else None."""
    ours = path.name.startswith(_prefix(owner)) and (path / "cgroup.procs").exists()
    return MemoryGroup(path) if ours else None


def _prefix(owner: str) -> str:
    return f"onceproof-{hashlib.sha256(owner.encode()).hexdigest()[:16]}-"


def _parent() -> Path:
    """Where a group can be made: tried with an empty one; ClusterError with what it would take."""
    for parent in _candidates():
        probe = parent / f"onceproof-probe-{os.getpid()}-{time.monotonic_ns()}"
        try:
            group = _make(probe)
            group.oom_kills()
            if os.access(parent / "cgroup.procs", os.W_OK):
                return parent
        except (OSError, KeyError, ValueError):
            continue
        finally:
            with contextlib.suppress(OSError):
                probe.rmdir()
    raise ClusterError(WHAT_IT_TAKES)


def _make(folder: Path) -> MemoryGroup:
    """The folder and its limit; OSError where the kernel refuses either."""
    folder.mkdir()
    group = MemoryGroup(folder)
    if group._is_v2:
        limits = {"memory.oom.group": "1", "memory.max": "0"}
    else:
        # A parent that waits instead of killing would hand that down.
        limits = {"memory.oom_control": "0", "memory.limit_in_bytes": "0"}
    for name, value in limits.items():
        with (folder / name).open("r+") as file:  # never creates: a plain folder has no such file
            file.write(value)
    return group


def _candidates() -> Iterator[Path]:
    """Our own memory cgroup and those above it, from the mounts and groups of this process."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    own = {names: path for _, names, path in (line.split(":", 2) for line in groups)}
    memory = next((path for names, path in own.items() if "memory" in names.split(",")), None)
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        root, point = place.split()[3:5]
        system, _, options = kind.split(" ", 2)
        if system == "cgroup" and "memory" in options.split(",") and memory is not None:
            path = memory
        elif system == "cgroup2" and "" in own:
            path = own[""]
        else:
            continue
        top = Path(point)
        # A path that is not below the mount's root is seen from another namespace.
        below = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path()
        for folder in (top / below, *(top / below).parents):
            if not folder.is_relative_to(top):
                break
            if system == "cgroup" or _gives_memory(folder):
                yield folder


def _gives_memory(folder: Path) -> bool:
    """Whether children of this v2 group have a memory limit of their own."""
    with contextlib.suppress(OSError):
        return "memory" in (folder / "cgroup.subtree_control").read_text().split()
    return False
