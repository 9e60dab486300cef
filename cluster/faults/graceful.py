"""End a replica as a rollout does: SIGTERM, time to finish, exit status 0.

Not a crash, and never called one: a good service loses nothing here. The proof is that it ended by
itself with 0; one that had to be killed after its grace shows that it does not drain. Whether it
ended a transaction is counted (`landing`): chaos tools call this a kill.
"""

from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.faults.landing import Landing
from cluster.place import Replica
from results.errors import ClusterError
from results.records import Evidence, Stage

_DEATH_SECONDS = 2.0  # beyond the grace, which `stop` has waited for
_RECOVER_SECONDS = 90.0  # a pod on a busy node, its readiness included


@dataclass(slots=True)
class Graceful:
    """One graceful end of one replica, and its successor."""

    context: FaultContext
    fault_id: str
    replica: str
    point: str = field(default="blind", init=False)
    kind: str = field(default="graceful", init=False)
    victim: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _landing: Landing = field(default_factory=Landing, init=False)
    _asked_ns: int = field(default=0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Ask it to end and wait for that."""
        self.victim = await self.context.replica(self.replica)
        await self._landing.look(self.context.wire, self.replica)
        self._asked_ns = self._stages.note(Stage.INTENT, {"identity": self.victim.identity})
        await self.context.place.stop(self.victim)
        self._stages.note(
            Stage.INJECT, {"identity": self.victim.identity, "asked_ns": self._asked_ns}
        )

    async def evidence(self) -> Evidence:
        """It ended with exit status 0, without a signal."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        facts: dict[str, Any] = {"identity": self.victim.identity}
        missing: list[str] = []
        try:
            death = await self.context.place.death(self.victim, timeout_seconds=_DEATH_SECONDS)
        except ClusterError as error:
            missing.append(f"death: {error}")
        else:
            facts.update(exit_code=death.exit_code, signal=death.signal, died_ns=death.at_ns)
            if death.exit_code != 0:
                ended = f"signal {death.signal}" if death.signal else f"status {death.exit_code}"
                missing.append(f"exit status 0: it ended with {ended}")
        facts |= await self._landing.tell(self.context.wire, self.replica, self._asked_ns)
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Wait for its successor."""
        if self.victim is None:
            return
        self.recovered = await self.context.place.recovered(
            self.victim, timeout_seconds=_RECOVER_SECONDS
        )
        self._stages.note(Stage.HEAL, {"identity": self.recovered.identity})

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})
