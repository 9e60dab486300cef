"""The machine of a replica loses its power inside a transaction: nobody says goodbye to Postgres.

A process that dies closes its sockets, and Postgres rolls back at once. A machine that dies sends
nothing: its session stays `idle in transaction` with all its locks until somebody gives it up
(keepalives take hours by default). Other replicas wait behind those locks meanwhile. Here the
replica is killed while the wire keeps its servers' side open, and gives it up when time is over.

Limits: the flight that was held is lost with the machine, as most are; TCP's own retransmission
is not played.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.backend import DATABASE_ERRORS, Backend, server
from cluster.faults.context import FaultContext, Stages, park_detail
from cluster.place import Replica
from cluster.wire.rules import Park
from results.errors import ClusterError
from results.records import Evidence, Stage

_DEATH_SECONDS = 2.0
_PROOF_SECONDS = 3.0
_RECOVER_SECONDS = 30.0


@dataclass(slots=True)
class PowerLoss:
    """One loss of power of one replica that is parked inside its transaction."""

    context: FaultContext
    fault_id: str
    replica: str
    dark_seconds: float
    park: Park | None
    point: str = field(default="in-transaction", init=False)
    kind: str = field(default="power-loss", init=False)
    victim: Replica | None = field(default=None, init=False)
    _backend: Backend | None = field(default=None, init=False)
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Keep the ends from Postgres, then kill."""
        wire, park = self.context.wire, self.park
        if wire is None or park is None:
            raise ClusterError("a loss of power needs the wire and a parked transaction")
        self.victim = await self.context.replica(self.replica)
        self._stages.note(Stage.PARKED, park_detail(park))
        try:
            async with server(self.context.database) as postgres:
                self._backend = await postgres.backend(park.backend_pid)
        except DATABASE_ERRORS as error:
            raise ClusterError(f"Postgres could not be asked: {error}") from error
        self._stages.note(Stage.INTENT, {"identity": self.victim.identity})
        await wire.silence(self.replica, True)
        await self.context.place.crash(self.victim)
        self._begun = time.monotonic()
        self._stages.note(Stage.INJECT, {"identity": self.victim.identity})

    async def evidence(self) -> Evidence:
        """Dead by signal 9, and still in its transaction for Postgres when its time is over."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        missing: list[str] = []
        facts: dict[str, Any] = {"identity": self.victim.identity}
        try:
            death = await self.context.place.death(self.victim, timeout_seconds=_DEATH_SECONDS)
            facts.update(signal=death.signal, died_ns=death.at_ns)
            if death.signal != 9:
                missing.append(f"signal 9: it ended with {death.exit_code or death.signal}")
        except ClusterError as error:
            missing.append(f"death: {error}")
        await asyncio.sleep(self._begun + self.dark_seconds - time.monotonic())
        missing += await self._still_open(facts)
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Postgres learns of the end; the transaction is gone, the replica is back."""
        await self._tell()
        if self.victim is None:
            return
        recovered = await self.context.place.recovered(
            self.victim, timeout_seconds=_RECOVER_SECONDS
        )
        self._stages.note(Stage.HEAL, {"identity": recovered.identity})

    async def miss(self, reason: str) -> None:
        """Let go of the park."""
        if self.park is not None and self.context.wire is not None:
            await self.context.wire.release(self.park.hold_id, "pass")
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _still_open(self, facts: dict[str, Any]) -> list[str]:
        try:
            async with server(self.context.database) as postgres:
                now = await postgres.backend(self._backend.pid) if self._backend else None
        except DATABASE_ERRORS as error:
            return [f"still open: Postgres could not be asked ({error})"]
        if now is None or self._backend is None or now.started != self._backend.started:
            return ["still open: the session ended before its time"]
        facts.update(now.facts())
        return [] if now.in_transaction else ["still open: the session was in no transaction"]

    async def _tell(self) -> None:
        wire = self.context.wire
        if wire is None or self.park is None:
            return
        await wire.release(self.park.hold_id, "drop")
        await wire.silence(self.replica, False)
