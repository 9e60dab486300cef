"""Lock a row, ship it, mark it, commit: one transaction around the call.

SKIP LOCKED lets others take the next row while the call is under way, so no row is ever in two
hands. A worker that dies after the call and before its COMMIT leaves the row unsent, and it is
shipped again under the same key: at least once, and exactly once in effect only with a provider
that honours keys. Its price is a transaction as long as the provider takes to answer.
"""

import structlog

from service.database import commit, rollback
from service.outbox import DUE, mark_sent, put_off, ship
from service.pool import Pool
from service.provider import Provider, ProviderError

log = structlog.get_logger()


async def ship_one(pool: Pool, provider: Provider) -> bool:
    """Ship the next row that is due; False if there was none."""
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        try:
            row = await connection.fetchrow(f"{DUE} FOR UPDATE SKIP LOCKED")
            if row is None:
                await commit(connection)
                return False
            try:
                await ship(provider, row)
                await mark_sent(connection, row)
            except ProviderError as error:
                log.warning("not shipped", key=row["idempotency_key"], error=str(error))
                await put_off(connection, row)
            await commit(connection)
        except BaseException:
            await rollback(connection)
            raise
    return True
