"""Waiting until nothing moves any more, and looking at the ledger and the machine meanwhile.

Liveness can only be judged once faults are healed, retries have ended and the relay has drained;
`settle` waits for that condition, never for a time alone. What has not settled by the deadline is
noted: a run that still moved says nothing of what it had not done yet.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from cluster.resources import ResourceMeter
from results.errors import ClusterError
from results.run_folder import append_line
from scenarios.engine.stand import Stand, Watch

SAMPLE_SECONDS = 0.25
SLOWER_AFTER = 1_000  # snapshots, after which they come half as often, and so on
SHARE_MAX = 0.2  # of the time may go into looking, as long as the pauses are no longer than
PAUSE_MAX_SECONDS = 3.0
MEASURE_SECONDS = 2.0
QUIET_SECONDS = 1.0  # the provider has not been called for so long
LOOK_SECONDS = 0.1


@asynccontextmanager
async def sampling(stand: Stand) -> AsyncIterator[None]:
    """Look at the ledger and at the machine while the context lasts.

    The number of snapshots and their gaps are part of the coverage.
    """

    async def sample() -> None:
        while True:
            begun = time.monotonic()
            with contextlib.suppress(ClusterError):  # a database that is down: look again
                await stand.ledger.snapshot("sample")
            took = time.monotonic() - begun
            often = SAMPLE_SECONDS * 2 ** (stand.ledger.taken // SLOWER_AFTER)
            await asyncio.sleep(max(often, min(PAUSE_MAX_SECONDS, took * (1 / SHARE_MAX - 1))))

    async def measure() -> None:
        meter = ResourceMeter(stand.dsn, stand.folder.journal, stand.folder.path)
        looks = 0
        while True:
            with contextlib.suppress(ClusterError):
                append_line(stand.folder.resources, await meter.look())
                looks += 1
            await asyncio.sleep(MEASURE_SECONDS * 2 ** (looks // SLOWER_AFTER))

    tasks = [asyncio.create_task(sample()), asyncio.create_task(measure())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):  # not the cancellation: nobody looked any more
            raise error


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
    """Wait until nothing moves any more, and note in the manifest whether that came to be.

    Every replica is ready, nothing is unsent, open or waiting, the provider is quiet, and every
    order that was acknowledged has shipped, and is counted by every book. If all but the last
    holds at the deadline, the run has settled all the same: what has not shipped by then was lost.
    """
    watch("waiting until nothing moves any more")
    still = False
    try:
        async with asyncio.timeout(deadline_seconds):
            while True:
                still = await standing_still(stand)
                if (
                    still
                    and not stand.ledger.uncounted
                    and not await asyncio.to_thread(owed, stand)
                ):
                    return
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        if still:
            return
    watch(f"not settled after {deadline_seconds:.0f} s: judged as it is")
    stand.folder.write_manifest(replace(stand.folder.read_manifest(), settled=False))


async def standing_still(stand: Stand) -> bool:
    """Whether nothing moves: replicas, ledger, provider."""
    if not all(replica.ready for replica in await stand.place.replicas()):
        return False
    try:
        if not await stand.ledger.settled():
            return False
    except ClusterError:
        return False
    calls = stand.folder.witness
    return not calls.exists() or time.time() - calls.stat().st_mtime >= QUIET_SECONDS


def owed(stand: Stand) -> int:
    """How many orders were acknowledged and have not shipped; 0 without a witness."""
    bundle = stand.folder.load(traffic_alone=True)  # of a long run the rest is a gigabyte
    if not bundle.manifest.has_witness:
        return 0
    return sum(
        bundle.history.first_ok_ns(key) is not None and key not in bundle.effects
        for key in bundle.history.by_order
    )
