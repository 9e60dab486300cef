"""SIGKILL a replica, at a named point of its own transaction or blindly.

| point | the wire held | then | the proof that it was so |
|---|---|---|---|
| commit-dropped | the COMMIT, before the server saw it | dropped | transaction aborted |
| commit-after-death | the same | forwarded when the victim was dead | transaction committed |
| reply-lost | the COMMIT, then the answer to it | discarded | transaction committed, with a row |
| in-transaction | any flight inside a transaction | dropped | aborted, or it had written nothing |
| statement | the n-th step of a delivery, before it | dropped | the same |
| blind | nothing | - | none is asked for; what it hit is counted (`landing`) |
| polled | nothing | - | the same; Postgres had shown a transaction just before (`poll`) |

Every crash must show: ended by signal 9, that very incarnation, no later than two seconds after
the signal. An aimed one also: the wire saw the victim's end of the connection after the kill, and
the Postgres backend is gone.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.faults.aim import AT_COMMIT, Aim, CrashPoint
from cluster.faults.backend import DATABASE_ERRORS, server
from cluster.faults.context import FaultContext, Stages, park_detail
from cluster.faults.landing import Landing
from cluster.place import Death, Replica
from cluster.wire.rules import Park
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_RELEASE: dict[str, Literal["pass", "drop"]] = {
    "commit-dropped": "drop",
    "commit-after-death": "pass",
    "reply-lost": "drop",
    "in-transaction": "drop",
    "statement": "drop",
}
_FATE = {
    "commit-dropped": "aborted",
    "commit-after-death": "committed",
    "reply-lost": "committed",
    "in-transaction": "aborted",
    "statement": "aborted",
}
_DEATH_SECONDS = 2.0
_PROOF_SECONDS = 3.0
_RECOVER_SECONDS = 90.0  # a pod on a busy node, its readiness included


@dataclass(slots=True)
class Crash:
    """One crash of one replica; with an aim it releases what is parked."""

    context: FaultContext
    fault_id: str
    point: CrashPoint
    replica: str
    aim: Aim | None = None
    kind: str = field(default="crash", init=False)
    victim: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _landing: Landing = field(default_factory=Landing, init=False)
    _facts: dict[str, Any] = field(default_factory=dict, init=False)
    _missing: list[str] = field(default_factory=list, init=False)
    _killed_ns: int = field(default=0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Write down what is parked and what Postgres knows of it, then kill."""
        self.victim = await self.context.replica(self.replica)
        if self.aim is not None:
            park = self.aim.park
            self._stages.note(Stage.PARKED, park_detail(park))
            self._facts.update(others_in_flight=park.others_in_flight, **self.aim.facts)
            self._missing += self.aim.missing
        else:
            await self._look_at_wire()
        self._stages.note(Stage.INTENT, {"identity": self.victim.identity, **self._facts})
        self._killed_ns = time.monotonic_ns()
        await self._strike(self.victim)
        self._stages.note(
            Stage.INJECT, {"identity": self.victim.identity, "killed_ns": self._killed_ns}
        )

    async def evidence(self) -> Evidence:
        """Release what is held once the victim's end is seen, and ask Postgres what became of it.

        The wire sees the end first: a cluster tells of a death a second or two later, and a hold
        must not outlast the sender's patience. Only both together are a proof.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._death())
            if self.aim is not None:
                ended = await self._connection_end(self.aim.park)
                await self._release(self.aim.park, ended=ended)
        if self.aim is not None:
            await self._fate(self.aim)
        else:
            wire = self.context.wire
            self._facts.update(await self._landing.tell(wire, self.replica, self._killed_ns))
        evidence = Evidence(facts=dict(self._facts), missing=tuple(self._missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Wait for the next incarnation; the supervisor brings it back."""
        if self.victim is None:
            return
        self.recovered = await self.context.place.recovered(
            self.victim, timeout_seconds=_RECOVER_SECONDS
        )
        self._stages.note(Stage.HEAL, {"identity": self.recovered.identity})

    async def miss(self, reason: str) -> None:
        """Let go of the park, so that the replica goes on as if nothing had been."""
        if self.aim is not None and self.context.wire is not None:
            try:
                await self.context.wire.release(self.aim.park.hold_id, "pass")
            except (OnceproofError, OSError, TimeoutError) as error:
                reason = f"{reason}; the hold was not released: {error}"
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _strike(self, victim: Replica) -> None:
        """What ends it."""
        await self.context.place.crash(victim)

    # ------------------------------------------------------------------ the proofs

    async def _look_at_wire(self) -> None:
        """Which connections a blind kill may hit; what it did hit is only known afterwards."""
        await self._landing.look(self.context.wire, self.replica)
        self._facts.update(self._landing.facts)

    async def _death(self) -> Death | None:
        assert self.victim is not None  # perform() asks for evidence only after inject()
        try:
            death = await self.context.place.death(self.victim, timeout_seconds=_DEATH_SECONDS)
        except ClusterError as error:
            self._missing.append(f"death: {error}")
            return None
        self._facts.update(
            identity=death.identity,
            signal=death.signal,
            exit_code=death.exit_code,
            killed_ns=self._killed_ns,
            died_ns=death.at_ns,
            **death.facts,
        )
        self._missing += death.doubts
        if death.identity != self.victim.identity:
            self._missing.append(f"identity: {death.identity} died, not {self.victim.identity}")
        if death.signal != 9 and death.exit_code != 137:  # a kubelet reports 128 + 9
            self._missing.append(f"signal 9: it ended by {death.signal or death.exit_code}")
        return death

    async def _connection_end(self, park: Park) -> bool:
        """Whether the victim's side of the connection ended, and after the kill."""
        if self.context.wire is None:
            self._missing.append("eof: there is no wire")
            return False
        try:
            end = await self.context.wire.wait_end(
                park.replica, park.connection, timeout_seconds=_PROOF_SECONDS
            )
        except (OnceproofError, OSError, TimeoutError) as error:
            self._missing.append(f"eof: {error}")
            return False
        self._facts["eof_ns"] = end and end.at_ns
        if end is None:
            self._missing.append("eof: the wire did not see the victim's connection end")
        elif end.at_ns < self._killed_ns:
            self._missing.append("eof: the victim's connection had ended before the kill")
        return end is not None and end.at_ns >= self._killed_ns

    async def _release(self, park: Park, *, ended: bool) -> None:
        action = _RELEASE[self.point]
        if not ended:
            # Not dead for all we know: passing on would be another fault than the one named.
            action = "drop"
        if self.context.wire is None:
            return
        try:
            released = await self.context.wire.release(park.hold_id, action)
        except (OnceproofError, OSError, TimeoutError) as error:
            self._missing.append(f"release: {error}")
            return
        self._facts["released"] = action
        if not released:  # its lease was over: what was held went its own way, perhaps alive
            self._missing.append("release: the hold had ended by itself")

    async def _fate(self, aim: Aim) -> None:
        backend = aim.backend
        if backend is None:
            return
        expected = _FATE[self.point]
        try:
            async with server(self.context.database) as postgres:
                gone = await postgres.gone(backend, timeout_seconds=_PROOF_SECONDS)
                self._facts["backend_gone"] = gone
                if not gone:
                    self._missing.append(f"backend gone: pid {backend.pid} is still there")
                if backend.xid is None:
                    self._facts["wrote"] = False
                    if self.point in AT_COMMIT:
                        self._missing.append("fate: the transaction had written nothing")
                    return
                fate = await postgres.fate(backend.xid, timeout_seconds=_PROOF_SECONDS)
                if fate == "committed" and "wrote_table" not in self._facts:
                    self._facts["wrote_table"] = await postgres.written_table(backend.xid)
        except DATABASE_ERRORS as error:
            self._missing.append(f"fate: Postgres could not be asked ({error})")
            return
        self._facts["wrote"] = True
        self._facts["fate"] = fate
        if fate != expected:
            self._missing.append(f"fate: {fate}, where {self.point} means {expected}")
