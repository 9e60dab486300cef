"""The database ends a replica's connections (`pg_terminate_backend`), as a failover would.

The replica lives on and must notice, with whatever it had in flight: an unfinished transaction is
rolled back, a COMMIT under way may be either. Whose connections they are is known from the wire,
exactly; Postgres itself cannot tell one replica's from another's. Aimed at a park before a COMMIT,
one of them is in a transaction that has written.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.backend import DATABASE_ERRORS, Backend, server
from cluster.faults.context import FaultContext, Stages, park_detail
from cluster.wire.rules import Park
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_PROOF_SECONDS = 3.0
_POLL_SECONDS = 0.01


@dataclass(slots=True)
class DbDisconnect:
    """All database connections of one replica, ended once."""

    context: FaultContext
    fault_id: str
    replica: str
    park: Park | None = None
    kind: str = field(default="db-disconnect", init=False)
    _connections: dict[int, int] = field(default_factory=dict, init=False)  # number -> pid
    _backends: list[Backend] = field(default_factory=list, init=False)
    _facts: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def point(self) -> str:
        """Where it was when it lost its connections."""
        return "in-transaction" if self.park is not None else "blind"

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Terminate every backend that the wire has for this replica."""
        if self.context.wire is None:
            raise ClusterError("only the wire knows whose connections these are: run with it")
        if self.park is not None:
            self._stages.note(Stage.PARKED, park_detail(self.park))
        state = await self.context.wire.state()
        mine = [one for one in state.connections if one.replica == self.replica]
        self._connections = {one.connection: one.backend_pid for one in mine}
        busy = [one.backend_pid for one in mine if one.state != "I" or one.in_flight]
        self._facts = {
            "backend_pids": sorted(self._connections.values()),
            "landed_in_transaction": bool(busy),
        }
        if not mine:
            raise ClusterError(f"{self.replica} had no connection to the database")
        self._stages.note(Stage.INTENT, dict(self._facts))
        try:
            async with server(self.context.database) as postgres:
                for pid in self._connections.values():
                    backend = await postgres.backend(pid)
                    if backend is not None and await postgres.terminate(pid):
                        self._backends.append(backend)
        except DATABASE_ERRORS as error:
            raise ClusterError(f"Postgres ended no connection: {error}") from error
        self._stages.note(Stage.INJECT, {"terminated": [one.pid for one in self._backends]})

    async def evidence(self) -> Evidence:
        """The backends are gone, and the wire has lost those very connections."""
        missing: list[str] = []
        if not self._backends:
            missing.append("terminated: every backend had ended before")
        try:
            async with server(self.context.database) as postgres:
                for backend in self._backends:
                    if not await postgres.gone(backend, timeout_seconds=_PROOF_SECONDS):
                        missing.append(f"backend gone: pid {backend.pid} is still there")
        except DATABASE_ERRORS as error:
            missing.append(f"backend gone: Postgres could not be asked ({error})")
        open_still = await self._open_connections()
        self._facts["connections_open"] = open_still
        if self.park is not None and not self._facts["landed_in_transaction"]:
            missing.append("in transaction: the wire saw none open")
        if open_still:
            missing.append(f"server eof: the wire still has connections {open_still}")
        evidence = Evidence(facts=dict(self._facts), missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Nothing to do: the replica connects again by itself, or has a bug."""
        self._stages.note(Stage.HEAL)

    async def miss(self, reason: str) -> None:
        """Let go of the park."""
        if self.park is not None and self.context.wire is not None:
            with contextlib.suppress(OnceproofError, OSError, TimeoutError):
                await self.context.wire.release(self.park.hold_id, "pass")
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _open_connections(self) -> list[int]:
        """Which of the terminated connections the wire still has, at the deadline at latest."""
        terminated = {one.pid for one in self._backends}
        wire = self.context.wire
        assert wire is not None  # inject() refuses without
        deadline = time.monotonic() + _PROOF_SECONDS
        while True:
            try:
                connections = (await wire.state()).connections
            except (OnceproofError, OSError, TimeoutError):
                return sorted(self._connections)
            left = [
                one.connection
                for one in connections
                if self._connections.get(one.connection) == one.backend_pid
                and one.backend_pid in terminated
            ]
            if not left or time.monotonic() >= deadline:
                return sorted(left)
            await asyncio.sleep(_POLL_SECONDS)
