"""Waiting until nothing moves any more, and looking at the ledger meanwhile.

Liveness can only be judged once faults are healed, retries have ended and the relay has drained;
`settle` waits for that condition, never for a time alone. What has not settled by the deadline is
left as it is: the checker will find it and say so.
"""

import asyncio

from scenarios.engine.stand import Stand, Watch

SAMPLE_SECONDS = 0.25
SNAPSHOTS_MAX = 2_000


async def sample_ledger(stand: Stand) -> None:
    """Take snapshots through the run until cancelled; their number is part of the coverage."""
    while stand.ledger.taken < SNAPSHOTS_MAX:
        await stand.ledger.snapshot("sample")
        await asyncio.sleep(SAMPLE_SECONDS)


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
