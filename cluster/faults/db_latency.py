"""Every step towards the database takes longer for a while, as on a slow network or disk.

The wire delays each flight before it forwards it, so every window between a read and its write is
as much wider. The proof is measured: a probe of ours goes the same way and is as slow.
"""

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from cluster.faults.backend import DATABASE_ERRORS
from cluster.faults.context import FaultContext, Stages
from results.errors import ClusterError
from results.records import Evidence, Stage

_PROBE = "probe"


@dataclass(slots=True)
class DbLatency:
    """One slow stretch."""

    context: FaultContext
    fault_id: str
    delay_seconds: float
    slow_seconds: float
    replica: str = field(default="wire", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="db-latency", init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Delay everybody."""
        if self.context.wire is None:
            raise ClusterError("only the wire can slow the way to the database: run with it")
        self._stages.note(Stage.INTENT, {"delay_seconds": self.delay_seconds})
        await self.context.wire.delay("*", self.delay_seconds)
        self._stages.note(Stage.INJECT)

    async def evidence(self) -> Evidence:
        """A probe through the wire is as slow as was asked."""
        missing: tuple[str, ...] = ()
        facts: dict[str, object] = {}
        try:
            took = await self._probe()
            facts["probe_seconds"] = round(took, 4)
            if took < self.delay_seconds:
                missing = (f"slow: a probe took {took * 1e3:.1f} ms",)
        except DATABASE_ERRORS as error:
            missing = (f"slow: the probe failed ({error})",)
        evidence = Evidence(facts=facts, missing=missing)
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Be slow for the time asked, then as fast as before; also when interrupted."""
        assert self.context.wire is not None  # inject() refuses without
        try:
            await asyncio.sleep(self.slow_seconds)
        finally:
            await self.context.wire.delay("*", self.context.stretch_seconds)
        self._stages.note(Stage.HEAL)

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _probe(self) -> float:
        """Seconds of one round trip through the wire."""
        assert self.context.wire is not None
        port = await self.context.wire.open_port(_PROBE)
        parts = urlsplit(self.context.database)
        user = parts.netloc.rpartition("@")[0]
        place = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
        connection = await asyncpg.connect(
            urlunsplit(parts._replace(netloc=place)), timeout=5, command_timeout=30, ssl=False
        )
        try:
            begun = time.monotonic()
            await connection.fetchval("SELECT 1 + 1")  # a bare literal is no step
            return time.monotonic() - begun
        finally:
            connection.terminate()
