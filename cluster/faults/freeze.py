"""SIGSTOP a replica for a while: it keeps its sockets and its locks, and does not know it slept.

This is what a long garbage collection, a paused VM or a starved node looks like. Aimed at a park
before a COMMIT, the flight stays held for as long as the victim sleeps: the transaction is open
with all its locks, the sender gives up and tries elsewhere, and then the sleeper goes on.

Limits: on Kubernetes the container's first process alone is stopped, and only in a shared PID
namespace; its kubelet restarts a replica whose liveness probe fails for as long as it sleeps.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.backend import DATABASE_ERRORS, server
from cluster.faults.context import FaultContext, Stages, park_detail
from cluster.place import STOPPED, Replica
from cluster.wire.rules import Park
from results.errors import OnceproofError
from results.records import Evidence, Stage

_PROOF_SECONDS = 2.0
_POLL_SECONDS = 0.01


@dataclass(slots=True)
class Freeze:
    """One freeze of one replica; `heal` thaws it when its time is over."""

    context: FaultContext
    fault_id: str
    replica: str
    frozen_seconds: float
    park: Park | None = None
    kind: str = field(default="freeze", init=False)
    victim: Replica | None = field(default=None, init=False)
    _begun: float = field(default=0.0, init=False)

    @property
    def point(self) -> str:
        """Where it was when it froze."""
        return "in-transaction" if self.park is not None else "blind"

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Freeze it where it is."""
        self.victim = await self.context.replica(self.replica)
        if self.park is not None:
            self._stages.note(Stage.PARKED, park_detail(self.park))
        self._stages.note(Stage.INTENT, {"identity": self.victim.identity})
        await self.context.place.freeze(self.victim)
        self._begun = time.monotonic()
        self._stages.note(Stage.INJECT, {"identity": self.victim.identity})

    async def evidence(self) -> Evidence:
        """Stopped, says the kernel; and still in its transaction when its time is over."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        facts: dict[str, Any] = {"identity": self.victim.identity}
        missing: list[str] = []
        status = await self._status_becomes(self.victim, stopped=True)
        facts["process_status"] = status
        if status != STOPPED:
            missing.append(f"stopped: the process is {status}")
        await asyncio.sleep(self._begun + self.frozen_seconds - time.monotonic())
        if self.park is not None:  # asked at the end: also the hold must have lasted
            await self._look_at_transaction(self.park, facts, missing)
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Wake it, and let its flight go on."""
        if self.victim is None:
            return
        await self.context.place.thaw(self.victim)
        await self._release()
        status = await self._status_becomes(self.victim, stopped=False)
        slept = round(time.monotonic() - self._begun, 3)
        self._stages.note(Stage.HEAL, {"process_status": status, "frozen_seconds": slept})

    async def _release(self) -> None:
        """Let the flight go on; harmless when its lease has ended already."""
        if self.park is not None and self.context.wire is not None:
            with contextlib.suppress(OnceproofError, OSError, TimeoutError):
                await self.context.wire.release(self.park.hold_id, "pass")

    async def miss(self, reason: str) -> None:
        """Let go of the park."""
        if self.park is not None and self.context.wire is not None:
            try:
                await self.context.wire.release(self.park.hold_id, "pass")
            except (OnceproofError, OSError, TimeoutError) as error:
                reason = f"{reason}; the hold was not released: {error}"
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _look_at_transaction(
        self, park: Park, facts: dict[str, Any], missing: list[str]
    ) -> None:
        """While the flight is held nothing moves: what Postgres says now stays so."""
        try:
            async with server(self.context.database) as postgres:
                backend = await postgres.backend(park.backend_pid)
        except DATABASE_ERRORS as error:
            missing.append(f"in transaction: Postgres could not be asked ({error})")
        else:
            if backend is not None:
                facts.update(backend.facts())
            if backend is None or not backend.in_transaction:
                missing.append("in transaction: Postgres saw none open while it was frozen")

    async def _status_becomes(self, victim: Replica, *, stopped: bool) -> str:
        """The kernel's word for the process, once it is (or is not) stopped or time is up."""
        deadline = time.monotonic() + _PROOF_SECONDS
        while True:
            try:
                status = await self.context.place.process_state(victim)
            except OnceproofError as error:
                return f"unknown: {error}"
            if (status == STOPPED) == stopped or time.monotonic() >= deadline:
                return status
            await asyncio.sleep(_POLL_SECONDS)
