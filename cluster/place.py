"""The one interface between the engine and wherever replicas run.

A `Place` lists replicas and does six things to one of them: crash, freeze, thaw, stop, and tell
what its process does now and how its last incarnation ended. It knows nothing of webhooks, of the
wire or of verdicts. Local processes implement it (`cluster.processes`), and pods
(`cluster.kube.pods`).

A `Replica` is a value: it names one *incarnation* (a process, a container) by `identity`, so that
a fault aimed at an incarnation that is already gone is refused instead of hitting its successor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

STOPPED, GONE = "stopped", "gone"  # of a process


@dataclass(frozen=True, slots=True)
class Replica:
    """One incarnation of one replica."""

    name: str  # stable across restarts: "web-0"
    role: str  # "web" answers webhooks, anything else works behind it ("relay")
    identity: str  # this incarnation: "pid:4711:1763939.25" or a container id
    url: str  # "" for a role that listens to nobody
    restarts: int
    ready: bool

    @property
    def pid(self) -> int | None:
        """Its process on this machine; None for a container."""
        kind, _, rest = self.identity.partition(":")
        return int(rest.partition(":")[0]) if kind == "pid" else None


@dataclass(frozen=True, slots=True)
class Death:
    """How an incarnation ended, as the operating system (or the kubelet) tells it."""

    replica: str
    identity: str
    exit_code: int | None  # 0..255, None when a signal ended it
    signal: int | None  # 9 for a crash
    at_ns: int  # monotonic: when its end was observed
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else is known of it
    doubts: tuple[str, ...] = ()  # why it may not be the end that was asked for


@dataclass(frozen=True, slots=True)
class Autoscaled:
    """One look at an autoscaler and what it scales."""

    wanted: int  # replicas
    cpu_percent: int | None  # of what they request, as it has last seen it; None: not yet
    ready: tuple[Replica, ...]
    settled: bool  # so many are ready as are wanted, and no other is left
    words: str = ""  # why it cannot decide, in its own words


class Place(Protocol):
    """Where replicas run. Every method has its own deadline and raises ClusterError beyond it."""

    async def replicas(self) -> Sequence[Replica]:
        """All replicas as they are now, ready or not."""

    async def crash(self, replica: Replica) -> None:
        """SIGKILL this incarnation; ClusterError when it is not the current one."""

    async def freeze(self, replica: Replica) -> None:
        """SIGSTOP this incarnation: it keeps its sockets and its locks."""

    async def thaw(self, replica: Replica) -> None:
        """SIGCONT; harmless when it was not frozen."""

    async def process_state(self, replica: Replica) -> str:
        """The kernel's word for this incarnation's process: `stopped`, another, or `gone`."""

    async def stop(self, replica: Replica) -> None:
        """Ask it to end as a rollout does (SIGTERM, then its grace period)."""

    async def death(self, replica: Replica, *, timeout_seconds: float) -> Death:
        """How this incarnation ended; ClusterError when it has not within the deadline."""

    async def recovered(self, replica: Replica, *, timeout_seconds: float) -> Replica:
        """The next incarnation of the same name, once it is ready."""
