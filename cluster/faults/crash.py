"""SIGKILL a replica, at a named point of its own transaction or blindly.

| point | the wire held | then | the proof that it was so |
|---|---|---|---|
| commit-dropped | the COMMIT, before the server saw it | dropped | transaction aborted |
| commit-after-death | the same | forwarded when the victim was dead | transaction committed |
| reply-lost | the server's answer to the COMMIT | discarded | no transaction open at the park |
| in-transaction | any flight inside a transaction | dropped | aborted, or it had written nothing |
| statement | the n-th step of a delivery, before it | dropped | the same |
| blind | nothing | - | none is asked for; what it hit is counted |

Every crash must show: ended by signal 9, that very incarnation, no later than two seconds after
the signal. An aimed one also: the wire saw the victim's end of the connection after the kill, and
the Postgres backend is gone.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.faults.backend import DATABASE_ERRORS, Backend, server
from cluster.faults.context import FaultContext, Stages, park_detail
from cluster.place import Death, Replica
from cluster.wire.rules import Park
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

CrashPoint = Literal[
    "commit-dropped", "commit-after-death", "reply-lost", "in-transaction", "statement", "blind"
]
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
    "in-transaction": "aborted",
    "statement": "aborted",
}
_DEATH_SECONDS = 2.0
_PROOF_SECONDS = 3.0
_RECOVER_SECONDS = 30.0


@dataclass(slots=True)
class Crash:
    """One crash of one replica; aimed when it is given a park, which it releases."""

    context: FaultContext
    fault_id: str
    point: CrashPoint
    replica: str
    park: Park | None = None
    kind: str = field(default="crash", init=False)
    victim: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _backend: Backend | None = field(default=None, init=False)
    _facts: dict[str, Any] = field(default_factory=dict, init=False)
    _missing: list[str] = field(default_factory=list, init=False)
    _killed_ns: int = field(default=0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Write down what is parked and what Postgres knows of it, then kill."""
        self.victim = await self.context.replica(self.replica)
        if self.park is not None:
            self._stages.note(Stage.PARKED, park_detail(self.park))
            self._facts["others_in_flight"] = self.park.others_in_flight
            await self._look_at_backend(self.park)
        else:
            await self._look_at_wire()
        self._stages.note(Stage.INTENT, {"identity": self.victim.identity, **self._facts})
        self._killed_ns = time.monotonic_ns()
        await self._strike(self.victim)
        self._stages.note(
            Stage.INJECT, {"identity": self.victim.identity, "killed_ns": self._killed_ns}
        )

    async def evidence(self) -> Evidence:
        """Wait for the death, release what is held, and ask Postgres what became of it."""
        death = await self._death()
        if self.park is not None:
            await self._connection_end(self.park)
            await self._release(self.park, death)
            await self._fate()
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
        if self.park is not None and self.context.wire is not None:
            try:
                await self.context.wire.release(self.park.hold_id, "pass")
            except (OnceproofError, OSError, TimeoutError) as error:
                reason = f"{reason}; the hold was not released: {error}"
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _strike(self, victim: Replica) -> None:
        """What ends it."""
        await self.context.place.crash(victim)

    # ------------------------------------------------------------------ the proofs

    async def _look_at_backend(self, park: Park) -> None:
        """While it is parked nothing moves: the one moment to read its transaction id."""
        try:
            async with server(self.context.database) as postgres:
                self._backend = await postgres.backend(park.backend_pid)
        except DATABASE_ERRORS as error:
            self._missing.append(f"backend: Postgres could not be asked ({error})")
            return
        if self._backend is None:
            self._missing.append(f"backend: pid {park.backend_pid} was not in pg_stat_activity")
            return
        self._facts.update(self._backend.facts())
        if self.point == "reply-lost":
            # The hold exists only after ReadyForQuery: the COMMIT is done, nothing is open.
            self._facts["commit_answered"] = park.point == "reply"
            if park.point != "reply" or self._backend.in_transaction:
                self._missing.append("commit answered: a transaction was open at the park")
        elif self.point != "statement" and not self._backend.in_transaction:
            self._missing.append("in transaction: Postgres saw none open at the park")

    async def _look_at_wire(self) -> None:
        """A blind kill only counts what it was about to hit."""
        wire = self.context.wire
        if wire is None:
            return
        try:
            connections = (await wire.state()).connections
        except (OnceproofError, OSError, TimeoutError) as error:
            self._facts["landed_in_transaction"] = None
            self._facts["wire"] = str(error)
            return
        mine = [one for one in connections if one.replica == self.replica]
        busy = [one for one in mine if one.state != "I" or one.in_flight]
        self._facts["landed_in_transaction"] = bool(busy)
        self._facts["busy_backends"] = [one.backend_pid for one in busy]

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
        )
        if death.identity != self.victim.identity:
            self._missing.append(f"identity: {death.identity} died, not {self.victim.identity}")
        if death.signal != 9 and death.exit_code != 137:  # a kubelet reports 128 + 9
            self._missing.append(f"signal 9: it ended by {death.signal or death.exit_code}")
        return death

    async def _connection_end(self, park: Park) -> None:
        if self.context.wire is None:
            self._missing.append("eof: there is no wire")
            return
        try:
            eof_ns = await self.context.wire.wait_eof(
                park.replica, park.connection, timeout_seconds=_PROOF_SECONDS
            )
        except (OnceproofError, OSError, TimeoutError) as error:
            self._missing.append(f"eof: {error}")
            return
        self._facts["eof_ns"] = eof_ns
        if eof_ns is None:
            self._missing.append("eof: the wire did not see the victim's connection end")
        elif eof_ns < self._killed_ns:
            self._missing.append("eof: the victim's connection had ended before the kill")

    async def _release(self, park: Park, death: Death | None) -> None:
        action = _RELEASE[self.point]
        if death is None:
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

    async def _fate(self) -> None:
        if self._backend is None:
            return
        try:
            async with server(self.context.database) as postgres:
                gone = await postgres.gone(self._backend, timeout_seconds=_PROOF_SECONDS)
                self._facts["backend_gone"] = gone
                if not gone:
                    self._missing.append(f"backend gone: pid {self._backend.pid} is still there")
                expected = _FATE.get(self.point)
                if expected is None:
                    return
                if self._backend.xid is None:
                    self._facts["wrote"] = False
                    if self.point not in ("in-transaction", "statement"):
                        self._missing.append("fate: the transaction had written nothing")
                    return
                fate = await postgres.fate(self._backend.xid, timeout_seconds=_PROOF_SECONDS)
        except DATABASE_ERRORS as error:
            self._missing.append(f"fate: Postgres could not be asked ({error})")
            return
        self._facts["wrote"] = True
        self._facts["fate"] = fate
        if fate != expected:
            self._missing.append(f"fate: {fate}, where {self.point} means {expected}")
