"""Scale the service to another number of replicas and back, as an autoscaler does under load.

New replicas must not answer before they can, and those that go must lose nothing: which of them go
is the cluster's choice. What proves it: so many replicas were ready as were asked for, both times,
and each that is gone ended by itself with exit status 0.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.errors import ClusterError
from results.records import Evidence, Stage

_SETTLE_SECONDS = 180.0
_DEATH_SECONDS = 90.0  # a pod's grace is in it


@dataclass(slots=True)
class Scale:
    """To so many replicas, and back to as many as there were."""

    context: FaultContext
    fault_id: str
    to: int
    lasting_seconds: float
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="scale", init=False)
    _original: int = field(default=0, init=False)
    _ready: list[int] = field(default_factory=list, init=False)
    _gone: dict[str, Replica] = field(default_factory=dict, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """There, a while, and back."""
        cluster = self.context.cluster(self.kind)
        await self._note_ready()
        self._stages.note(Stage.INTENT, {"from": self._ready[0], "to": self.to})
        self._original = await cluster.scale(self.to)
        await self._note_ready()
        await asyncio.sleep(self.lasting_seconds)
        await cluster.scale(self._original)
        for one in await self._note_ready():
            self._gone.pop(one.identity, None)
        self._stages.note(Stage.INJECT, {"from": self._original, "to": self.to})

    async def evidence(self) -> Evidence:
        """So many were ready, and each that is gone ended by itself."""
        codes, missing = await self.context.exit_codes(
            self._gone.values(), timeout_seconds=_DEATH_SECONDS
        )
        wanted = [self._original, self.to, self._original]
        if self._ready != wanted:
            missing.append(f"ready: {self._ready} replicas one after the other, not {wanted}")
        if self.to == self._original:
            missing.append(f"scaled: there were {self.to} replicas before")
        facts: dict[str, Any] = {"ready": self._ready, "exit_codes": codes}
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """As many as there were; ClusterError when they do not come to be."""
        await self._back()
        self._stages.note(Stage.HEAL, {"replicas": self._original})

    async def miss(self, reason: str) -> None:
        """It may have begun: as many as there were, all the same."""
        if self._original:
            await self._back()
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _back(self) -> None:
        cluster = self.context.cluster(self.kind)
        await cluster.unscale()
        settled = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        if len(settled) != self._original:
            raise ClusterError(f"{len(settled)} replicas where there were {self._original}")

    async def _note_ready(self) -> list[Replica]:
        cluster = self.context.cluster(self.kind)
        ready = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        self._ready.append(len(ready))
        self._gone |= {one.identity: one for one in ready}
        return ready
