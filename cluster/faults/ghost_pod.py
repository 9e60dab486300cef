"""Delete a pod's object at once while its process still runs: a ghost that the cluster forgot.

`kubectl delete --force --grace-period=0` does this, and people use it on pods that will not go. The
API says that the pod is gone and another one takes its place, but its kubelet has not even heard of
it: for a second or two (for ever, if its node is cut off) there is one replica more than anybody
knows of, and it goes on with what it has. What proves it: the object is gone, and the wire still
has connections of it that were open before.

Limits: how the ghost ended is in no object any more; that it ended is seen at the wire. A new
connection of the ghost is refused there, since its address belongs to nobody by then.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_GONE_SECONDS = 5.0
_GHOST_SECONDS = 90.0  # a pod's grace is in it
_RECOVER_SECONDS = 90.0
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class GhostPod:
    """One replica that outlives its object."""

    context: FaultContext
    fault_id: str
    replica: str
    point: str = field(default="blind", init=False)
    kind: str = field(default="ghost-pod", init=False)
    victim: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _before: set[int] = field(default_factory=set, init=False)  # connections
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Delete the object with a grace of 0."""
        cluster = self.context.cluster(self.kind)
        self.victim = await self.context.replica(self.replica)
        self._before = await self._connections()
        self._stages.note(
            Stage.INTENT,
            {"identity": self.victim.identity, "connections": sorted(self._before)},
        )
        await cluster.forget(self.victim)
        self._begun = time.monotonic()
        self._stages.note(Stage.INJECT, {"identity": self.victim.identity})

    async def evidence(self) -> Evidence:
        """The object is gone, and the wire has connections of it that were open before."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        facts: dict[str, Any] = {"identity": self.victim.identity}
        missing: list[str] = []
        if not await self._object_gone():
            missing.append(f"gone: its object was there {_GONE_SECONDS:.0f} s after its delete")
        try:
            living = sorted(await self._connections() & self._before)
        except (OnceproofError, OSError, TimeoutError) as error:
            missing.append(f"lives: the wire could not be asked ({error})")
        else:
            facts |= {"connections": living, "seen_alive_ns": time.monotonic_ns()}
            if not living:
                missing.append("lives: the wire had no connection of it when its object was gone")
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Wait until the ghost has ended, and for its successor."""
        assert self.victim is not None
        deadline = self._begun + _GHOST_SECONDS
        while await self._connections() & self._before:
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"{self.replica} still uses the database {_GHOST_SECONDS:.0f} s after its "
                    "object was deleted: is its node alive?"
                )
            await asyncio.sleep(_POLL_SECONDS)
        lived = round(time.monotonic() - self._begun, 3)
        self.recovered = await self.context.place.recovered(
            self.victim, timeout_seconds=_RECOVER_SECONDS
        )
        self._stages.note(Stage.HEAL, {"identity": self.recovered.identity, "ghost_seconds": lived})

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _object_gone(self) -> bool:
        assert self.victim is not None
        cluster = self.context.cluster(self.kind)
        deadline = time.monotonic() + _GONE_SECONDS
        while await cluster.known(self.victim):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _connections(self) -> set[int]:
        """Which connections the wire has of it now."""
        if self.context.wire is None:
            raise ClusterError("only the wire knows that a ghost lives: run with it")
        state = await self.context.wire.state()
        return {one.connection for one in state.connections if one.replica == self.replica}
