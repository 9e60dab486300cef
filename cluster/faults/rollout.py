"""Roll the service out anew: each web replica is replaced, as `kubectl rollout restart` does it.

The cluster brings a new pod first and lets an old one go when the new one is ready. A good service
loses nothing. What proves it: every replica that was there ended by itself with exit status 0, none
of them is left, and as many new ones are ready.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.errors import OnceproofError
from results.records import Evidence, Stage

_SETTLE_SECONDS = 240.0
_DEATH_SECONDS = 90.0  # a pod's grace is in it


@dataclass(slots=True)
class Rollout:
    """One rollout over all web replicas."""

    context: FaultContext
    fault_id: str
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="rollout", init=False)
    _old: list[Replica] = field(default_factory=list, init=False)
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Ask for it."""
        cluster = self.context.cluster(self.kind)
        self._old = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        self._stages.note(Stage.INTENT, {"replicas": [one.name for one in self._old]})
        self._begun = time.monotonic()
        await cluster.roll_out()
        self._stages.note(Stage.INJECT)

    async def evidence(self) -> Evidence:
        """Each old one ended by itself, and new ones only are ready."""
        missing: list[str] = []
        facts: dict[str, Any] = {}
        try:
            cluster = self.context.cluster(self.kind)
            new = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        except OnceproofError as error:
            missing.append(f"rolled out: {error}")
        else:
            facts["replicas_after"] = [one.name for one in new]
            if kept := {one.identity for one in new} & {one.identity for one in self._old}:
                missing.append(f"replaced: {len(kept)} of the old replicas are there still")
        codes, not_ended = await self.context.exit_codes(self._old, timeout_seconds=_DEATH_SECONDS)
        facts |= {"exit_codes": codes, "seconds": round(time.monotonic() - self._begun, 3)}
        evidence = Evidence(facts=facts, missing=(*missing, *not_ended))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Nothing to do but to wait: the new replicas are what was asked for."""
        await self.context.cluster(self.kind).settled(timeout_seconds=_SETTLE_SECONDS)
        self._stages.note(Stage.HEAL)

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})
