"""Drain a node, as an upgrade of it begins: no new pod comes onto it, and its replicas are evicted.

The node is one with web replicas and without our own parts, so that nothing of the harness goes.
All evictions are asked for at once, as kubectl does, and a disruption budget lets one replica go
after the other. What proves it: the cluster calls the node unschedulable, every replica that was
there ended by itself with exit status 0, and none is left there. Healing lets pods onto it again;
the journal knows before the first step, so that `onceproof heal` can do it for a dead runner.

Limits: pods of others that run there stay; they only are not joined by new ones for a while.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_DEATH_SECONDS = 90.0  # a pod's grace is in it
_SETTLE_SECONDS = 180.0


@dataclass(slots=True)
class Drain:
    """One drain of one node, and its return."""

    context: FaultContext
    fault_id: str
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="drain", init=False)
    node: str = field(default="", init=False)
    _victims: list[Replica] = field(default_factory=list, init=False)
    _refusals: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Cordon it, and ask for every eviction until it is granted."""
        cluster = self.context.cluster(self.kind)
        self.node = cluster.node_to_lose()
        self._victims = cluster.on_node(self.node)
        names = [one.name for one in self._victims]
        self._stages.note(Stage.INTENT, {"node": self.node, "replicas": names})
        await cluster.cordon(self.node)
        granted = await asyncio.gather(
            *(cluster.evict(one) for one in self._victims), return_exceptions=True
        )
        for victim, refusals in zip(self._victims, granted, strict=True):
            if isinstance(refusals, BaseException):
                raise refusals
            self._refusals[victim.name] = refusals
        self._stages.note(Stage.INJECT, {"node": self.node, "refusals": self._refusals})

    async def evidence(self) -> Evidence:
        """Cordoned and empty of replicas, each of which ended by itself."""
        cluster = self.context.cluster(self.kind)
        codes, missing = await self.context.exit_codes(
            self._victims, timeout_seconds=_DEATH_SECONDS
        )
        facts: dict[str, Any] = {
            "node": self.node, "refusals": self._refusals, "exit_codes": codes,
        }  # fmt: skip
        if not self._victims:
            missing.append("evicted: no replica was on it")
        try:
            facts["cordoned"] = await cluster.cordoned(self.node)
            if not facts["cordoned"]:
                missing.append("cordoned: the cluster lets pods onto it")
            if left := [one.name for one in cluster.on_node(self.node)]:
                missing.append(f"empty: {', '.join(left)} is there still")
            settled = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
            facts["replicas_after"] = [one.name for one in settled]
        except OnceproofError as error:
            missing.append(f"drained: {error}")
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Let pods onto it again; ClusterError when they are still kept from it."""
        cluster = self.context.cluster(self.kind)
        await cluster.uncordon(self.node)
        if await cluster.cordoned(self.node):
            raise ClusterError(f"{self.node} is still cordoned: `kubectl uncordon {self.node}`")
        await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        self._stages.note(Stage.HEAL, {"node": self.node})

    async def miss(self, reason: str) -> None:
        """It may have begun: let pods onto it again all the same."""
        if self.node and self.context.administrator is not None:
            await self.context.administrator.uncordon(self.node)
        self._stages.note(Stage.MISSED, {"reason": reason})
