"""Every web replica ends gracefully, one after the other, as a rollout does.

A good service loses nothing and answers nothing with a 5xx: readiness fails first, what is under
way is finished, and the next replica goes only when its successor is ready.
"""

from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from results.errors import ClusterError
from results.records import Evidence, Stage

_DEATH_SECONDS = 2.0
_RECOVER_SECONDS = 90.0  # a pod on a busy node, its readiness included


@dataclass(slots=True)
class RollingRestart:
    """One rollout over all web replicas."""

    context: FaultContext
    fault_id: str
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="rolling-restart", init=False)
    _ends: dict[str, Any] = field(default_factory=dict, init=False)
    _missing: list[str] = field(default_factory=list, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """End and await one after the other."""
        place = self.context.place
        replicas = [one for one in await place.replicas() if one.role == "web" and one.ready]
        if not replicas:
            raise ClusterError("there is no web replica to restart")
        self._stages.note(Stage.INTENT, {"replicas": [one.name for one in replicas]})
        for replica in replicas:
            try:
                await place.stop(replica)
                death = await place.death(replica, timeout_seconds=_DEATH_SECONDS)
                self._ends[replica.name] = death.exit_code
                if death.exit_code != 0:
                    ended = f"signal {death.signal}" if death.signal else f"{death.exit_code}"
                    self._missing.append(f"exit status 0: {replica.name} ended with {ended}")
                await place.recovered(replica, timeout_seconds=_RECOVER_SECONDS)
            except ClusterError as error:
                self._missing.append(f"restarted: {error}")
        self._stages.note(Stage.INJECT)

    async def evidence(self) -> Evidence:
        """Each ended by itself with exit status 0 and has a successor."""
        evidence = Evidence(facts={"exit_codes": self._ends}, missing=tuple(self._missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Nothing to do: each successor was awaited."""
        self._stages.note(Stage.HEAL)

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})
