"""Evict a pod through the Eviction API, as a drain and an autoscaler of nodes do.

A disruption budget may refuse; that is its purpose, and the refusals are waited out and counted.
Then the pod ends gracefully. What proves it: the pod's own condition says that it went by the
Eviction API, and its container ended by itself with exit status 0.
"""

from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.records import Evidence, Stage

EVICTED = "EvictionByEvictionAPI"
_DEATH_SECONDS = 90.0  # a pod's grace is in it
_RECOVER_SECONDS = 90.0


@dataclass(slots=True)
class Evict:
    """One eviction of one replica, and its successor."""

    context: FaultContext
    fault_id: str
    replica: str
    point: str = field(default="blind", init=False)
    kind: str = field(default="evict", init=False)
    victim: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _refusals: int = field(default=0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Ask until it is granted."""
        cluster = self.context.cluster(self.kind)
        self.victim = await self.context.replica(self.replica)
        self._stages.note(Stage.INTENT, {"identity": self.victim.identity})
        self._refusals = await cluster.evict(self.victim)
        self._stages.note(
            Stage.INJECT, {"identity": self.victim.identity, "refusals": self._refusals}
        )

    async def evidence(self) -> Evidence:
        """It went by the Eviction API, and ended by itself."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        codes, missing = await self.context.exit_codes(
            [self.victim], timeout_seconds=_DEATH_SECONDS
        )
        reason = self.context.cluster(self.kind).disruption(self.victim)
        if reason != EVICTED:
            missing.append(f"evicted: its condition DisruptionTarget says {reason or 'nothing'}")
        facts: dict[str, Any] = {
            "identity": self.victim.identity, "refusals": self._refusals, "reason": reason,
            "exit_codes": codes,
        }  # fmt: skip
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Wait for its successor."""
        assert self.victim is not None
        self.recovered = await self.context.place.recovered(
            self.victim, timeout_seconds=_RECOVER_SECONDS
        )
        self._stages.note(Stage.HEAL, {"identity": self.recovered.identity})

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})
