"""Ships what the outbox holds: one row, one transaction, one call, with the row's own key.

A worker locks an unsent row (SKIP LOCKED: others take the next one), calls the provider while it
holds the lock, marks the row sent and commits. If it dies after the call and before the COMMIT,
the row is still unsent and is shipped again under the same key: at least once, and exactly once
in effect only with a provider that honours keys. A call that fails delays its row and lets the
others pass.
"""

import asyncio
import json

import asyncpg
import structlog

from service.database import (
    ACQUIRE_TIMEOUT_SECONDS,
    TRANSIENT_ERRORS,
    CommitError,
    commit,
    rollback,
)
from service.provider import Provider, ProviderError

WORKERS = 4
ERROR_PAUSE_SECONDS = 0.2
RETRIED_ERRORS: tuple[type[BaseException], ...] = (*TRANSIENT_ERRORS, CommitError)

_TAKE = """
SELECT id, shop, order_id, idempotency_key, lines FROM fulfillment_requests
WHERE sent_at IS NULL AND next_attempt_at <= now()
ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_SENT = "UPDATE fulfillment_requests SET sent_at = now(), attempts = attempts + 1 WHERE id = $1"
_LATER = """
UPDATE fulfillment_requests SET attempts = attempts + 1,
    next_attempt_at = now() + least(5, 0.1 * 2 ^ least(attempts, 10)) * interval '1 second'
WHERE id = $1
"""

log = structlog.get_logger()


async def run_relay(
    pool: asyncpg.Pool, provider: Provider, poll_seconds: float, stop: asyncio.Event
) -> None:
    """Ship until `stop` is set; shipments under way are finished."""
    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(_work(pool, provider, poll_seconds, stop))


async def ship_one(pool: asyncpg.Pool, provider: Provider) -> bool:
    """Ship the next unsent row; False if there was none."""
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute("BEGIN")
        try:
            row = await connection.fetchrow(_TAKE)
            if row is None:
                await commit(connection)
                return False
            try:
                await provider.ship(
                    row["shop"], row["order_id"], json.loads(row["lines"]), row["idempotency_key"]
                )
                await connection.execute(_SENT, row["id"])
            except ProviderError as error:
                log.warning("not shipped", key=row["idempotency_key"], error=str(error))
                await connection.execute(_LATER, row["id"])
            await commit(connection)
        except BaseException:
            await rollback(connection)
            raise
    return True


async def _work(
    pool: asyncpg.Pool, provider: Provider, poll_seconds: float, stop: asyncio.Event
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
