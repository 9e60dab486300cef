"""Waiting until nothing moves any more, and looking at the ledger meanwhile.

Liveness can only be judged once faults are healed, retries have ended and the relay has drained;
`settle` waits for that condition, never for a time alone. What has not settled by the deadline is
left as it is: the checker will find it and say so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from scenarios.engine.stand import Stand, Watch

SAMPLE_SECONDS = 0.25
SNAPSHOTS_MAX = 2_000


@asynccontextmanager
async def sampling(stand: Stand) -> AsyncIterator[None]:
    """Take snapshots while the context lasts; their number is part of the coverage."""

    async def sample() -> None:
        while stand.ledger.taken < SNAPSHOTS_MAX:
            await stand.ledger.snapshot("sample")
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def controlled(stand: Stand) -> AsyncIterator[None]:
    """A run that loses a part of its stand is not thrown away: it is judged, never as valid."""
    try:
        yield
    except Exception:
        if not lost_part(stand):
            raise
    if why := lost_part(stand):
        stand.folder.write_manifest(replace(stand.folder.read_manifest(), controller_lost=why))


def lost_part(stand: Stand) -> str:
    """Which part of the harness ended by itself during the run, in words; empty: none."""
    if stand.wire.lost.is_set():
        return "the wire's process or its control stream ended during the run"
    if not stand.witness.alive:
        return "the witness's process ended during the run"
    if not stand.postgres.alive:
        return "the database's process ended during the run"
    return ""


async def settle(stand: Stand, deadline_seconds: float, watch: Watch) -> None:
    """Wait until every replica is ready and nothing is unsent, open or waiting, twice in a row."""
    watch("waiting until nothing moves any more")
    quiet = 0
    try:
        async with asyncio.timeout(deadline_seconds):
            while quiet < 2:
                ready = all(replica.ready for replica in await stand.place.replicas())
                quiet = quiet + 1 if ready and await stand.ledger.settled() else 0
                await asyncio.sleep(0.1)
    except TimeoutError:
        watch(f"not settled after {deadline_seconds:.0f} s: judged as it is")
