"""Look for a row, ship it, mark it: three steps and no lock.

Nothing keeps two workers, or two replicas, from seeing the same row before either has marked it:
both call the provider. Both pass the row's key, so a provider that honours keys ships once and
only the calls are too many; one that ignores them ships twice, without any crash.
"""

import structlog

from service.outbox import DUE, mark_sent, put_off, ship
from service.pool import Pool
from service.provider import Provider, ProviderError

log = structlog.get_logger()


async def ship_one(pool: Pool, provider: Provider) -> bool:
    """Ship the next row that is due; False if there was none."""
    row = await pool.fetchrow(DUE)
    if row is None:
        return False
    try:
        await ship(provider, row)
    except ProviderError as error:
        log.warning("not shipped", key=row["idempotency_key"], error=str(error))
        await put_off(pool, row)
    else:
        await mark_sent(pool, row)
    return True
