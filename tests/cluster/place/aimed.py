"""A replica whose database is reached through a real wire, and who asks it to pay orders."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import msgspec

from cluster.faults import FaultContext
from cluster.place import Replica
from cluster.wire.client import Park, Rule, Wire
from results.records import ConnectionTrace, HoldTrace, StatementTrace
from tests.cluster.place.replica_child import DECIDE

ORDER = 910_000_000_000_000_042
TABLES = f"""
CREATE TABLE effects (what text);
CREATE TABLE paid (id bigint PRIMARY KEY, status text);
CREATE FUNCTION pay(bigint) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN {DECIDE}; RETURN FOUND; END $$;
"""


@dataclass
class Bench:
    """A replica whose database is reached through a real wire."""

    context: FaultContext
    wire: Wire
    victim: Replica
    dsn: str
    trace: Path

    async def post(self, path: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.victim.url + path) as answer,
        ):
            return answer.status

    async def park(self, shape: str) -> tuple[asyncio.Task[int], Park]:
        """A delivery that the wire holds at its commit point."""
        await self.wire.arm(Rule(rule_id="r", point="before-commit", lease_seconds=20))
        work = asyncio.create_task(self.post(f"/pay/{shape}/{ORDER}"))
        park = await self.wire.next_park("r", timeout_seconds=10)
        assert park is not None, work
        return work, park

    def holds(self) -> list[HoldTrace]:
        """The holds that have ended."""
        kinds = StatementTrace | ConnectionTrace | HoldTrace
        lines = self.trace.read_bytes().splitlines()
        every = [msgspec.json.decode(line, type=kinds) for line in lines]
        return [one for one in every if isinstance(one, HoldTrace)]

    async def paid(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM paid"))
        finally:
            await connection.close()
