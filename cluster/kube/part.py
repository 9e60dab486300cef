"""The harness's own parts in a cluster: a pod each, which must not end by itself during a run.

Postgres is one of them, and the only one that a scenario may crash on purpose: its container is
ended as a replica's is, and the kubelet starts it again on the same data.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import asyncpg

from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.rungs import Rung
from cluster.kube.watch import PodWatch, is_ready, status_of, stuck
from results.errors import ClusterError

PART = "app.kubernetes.io/name"
READY_SECONDS = 120.0
DOWN_SECONDS = 10.0
BACK_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(slots=True)
class PodPart:
    """One part: the pod that carries its name."""

    watch: PodWatch
    name: str  # of the part, and of its container
    _identity: str = field(default="", init=False)

    async def ready(self) -> str:
        """Wait until it answers; its pod's name. ClusterError, saying why, when it does not."""

        def look() -> Manifest | None:
            pod = self._pod()
            if pod is not None and (why := stuck(pod)):
                raise ClusterError(f"The {self.name} does not start: {why}.")
            return pod if pod is not None and is_ready(pod) else None

        pod = await self.watch.until(look, READY_SECONDS)
        if pod is None:
            raise ClusterError(
                f"The {self.name} was not ready within {READY_SECONDS:.0f} s. "
                f"`kubectl describe pod` tells why."
            )
        self._identity = self._running(pod)
        return str(pod["metadata"]["name"])

    @property
    def alive(self) -> bool:
        """False once the container that was ready has ended, for all that is known."""
        pod = self._pod()
        return pod is not None and self._running(pod) == self._identity

    async def pod_name(self) -> str:
        """The pod's name; ClusterError when there is none."""
        return str(self.pod()["metadata"]["name"])

    def pod(self) -> Manifest:
        """The pod as it is now; ClusterError when there is none."""
        pod = self._pod()
        if pod is None:
            raise ClusterError(f"There is no pod of the {self.name} any more.")
        return pod

    def _pod(self) -> Manifest | None:
        for pod in self.watch.now.values():
            if pod["metadata"]["labels"].get(PART) == self.name:
                return pod
        return None

    def _running(self, pod: Manifest) -> str:
        status = status_of(pod, self.name)
        return str(status.get("containerID", "")) if "running" in status.get("state", {}) else ""


@dataclass(slots=True)
class PodPostgres(PodPart):
    """The run's database."""

    gateway: Gateway
    dsn: str = field(repr=False)

    async def crash(self) -> None:
        """SIGKILL its first process, and with it all others; returns when it has ended."""
        pod = self.pod()
        shared = pod["spec"].get("shareProcessNamespace", False)
        await Rung("shared-pid" if shared else "ptrace").kill(self.gateway, pod, self.name)
        if await self.watch.until(lambda: not self.alive or None, DOWN_SECONDS) is None:
            raise ClusterError(f"The database still runs {DOWN_SECONDS:.0f} s after its crash.")

    async def restart(self) -> None:
        """Wait until the kubelet has started it again and it answers."""
        deadline = time.monotonic() + BACK_SECONDS
        await self.ready()
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                connection = await asyncpg.connect(self.dsn, timeout=5)
                await connection.close(timeout=2)
                return
            await asyncio.sleep(POLL_SECONDS)
        raise ClusterError(f"The database did not answer within {BACK_SECONDS:.0f} s.")
