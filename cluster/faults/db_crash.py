"""SIGKILL the whole database server and start it again a moment later, as a power cut would.

Every open transaction is gone, every COMMIT that was answered must still be there: Postgres
replays its log. Whoever had a COMMIT under way does not know which of the two it was.

Limits: needs a server that onceproof started itself; the disk keeps what fsync was promised.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from cluster.faults.backend import DATABASE_ERRORS
from cluster.faults.context import FaultContext, Stages
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_PROOF_SECONDS = 3.0
_POLL_SECONDS = 0.02


@dataclass(slots=True)
class DbCrash:
    """One crash of the database; `heal` starts it again when its time is over."""

    context: FaultContext
    fault_id: str
    down_seconds: float
    replica: str = field(default="postgres", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="db-crash", init=False)
    _started: str = field(default="", init=False)
    _facts: dict[str, Any] = field(default_factory=dict, init=False)
    _before: set[tuple[str, int]] = field(default_factory=set, init=False)  # connections

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Note who was in a transaction, then kill the server and all of its backends."""
        if self.context.server is None:
            raise ClusterError("there is no database server here that could be crashed")
        try:
            self._started = await _started(self.context.database)
        except DATABASE_ERRORS as error:
            raise ClusterError(f"Postgres could not be asked before its crash: {error}") from error
        if self.context.wire is not None:
            open_ones = (await self.context.wire.state()).connections
            busy = sum(one.state != "I" or one.in_flight for one in open_ones)
            self._facts = {"connections": len(open_ones), "in_transaction": busy}
            self._before = {(one.replica, one.connection) for one in open_ones}
        self._stages.note(Stage.INTENT, {"started": self._started, **self._facts})
        await self.context.server.crash()
        self._stages.note(Stage.INJECT)

    async def evidence(self) -> Evidence:
        """The server is gone, it does not answer, and the wire lost every connection to it.

        One that is started again at once (by a kubelet) answers with another start time.
        """
        assert self.context.server is not None  # inject() refuses without
        missing: list[str] = []
        if self.context.server.alive:
            missing.append("ended: the server still runs")
        try:
            if await _started(self.context.database) == self._started:
                missing.append("silent: the server of before still answers")
        except DATABASE_ERRORS:
            self._facts["silent"] = True
        left = await self._connections_left()
        if left:
            missing.append(f"server eof: the wire still has {left} connections of before")
        evidence = Evidence(facts=dict(self._facts), missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Start it again; ClusterError when it does not come back, or is still the old one."""
        assert self.context.server is not None
        await asyncio.sleep(self.down_seconds)
        await self.context.server.restart()
        started = await _started(self.context.database)
        if started == self._started:
            raise ClusterError("The database that answers now was never ended.")
        self._stages.note(Stage.HEAL, {"started": started})

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _connections_left(self) -> int:
        """How many connections of before outlive the server, at the deadline at latest."""
        if self.context.wire is None:
            return 0
        deadline = asyncio.get_running_loop().time() + _PROOF_SECONDS
        while True:
            try:
                now = (await self.context.wire.state()).connections
            except (OnceproofError, OSError, TimeoutError):
                return -1
            left = len(self._before & {(one.replica, one.connection) for one in now})
            if not left or asyncio.get_running_loop().time() >= deadline:
                return left
            await asyncio.sleep(_POLL_SECONDS)


async def _started(dsn: str) -> str:
    """When the server that answers now was started."""
    connection = await asyncpg.connect(dsn, timeout=5, command_timeout=5)
    try:
        return str(await connection.fetchval("SELECT pg_postmaster_start_time()"))
    finally:
        await connection.close(timeout=2)
