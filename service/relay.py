"""Ships what the outbox holds until it is told to stop; how one row is shipped, `relays/` says.

Several workers in one process, and as many processes as one likes: whether they get into each
other's way is the relay's own affair.
"""

import asyncio

import structlog

from service.database import TRANSIENT_ERRORS, CommitError
from service.pool import Pool
from service.provider import Provider
from service.relays import ShipOne

WORKERS = 4
ERROR_PAUSE_SECONDS = 0.2
RETRIED_ERRORS: tuple[type[BaseException], ...] = (*TRANSIENT_ERRORS, CommitError)

log = structlog.get_logger()


async def run_relay(
    ship_one: ShipOne,
    pool: Pool,
    provider: Provider,
    poll_seconds: float,
    stop: asyncio.Event,
) -> None:
    """Ship until `stop` is set; shipments under way are finished."""
    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(_work(ship_one, pool, provider, poll_seconds, stop))


async def _work(
    ship_one: ShipOne,
    pool: Pool,
    provider: Provider,
    poll_seconds: float,
    stop: asyncio.Event,
) -> None:
    while not stop.is_set():
        pause_seconds = poll_seconds
        try:
            if await ship_one(pool, provider):
                continue
        except RETRIED_ERRORS as error:
            log.warning("database unavailable", error=repr(error))
            pause_seconds = ERROR_PAUSE_SECONDS
        try:
            await asyncio.wait_for(stop.wait(), pause_seconds)
        except TimeoutError:
            continue
