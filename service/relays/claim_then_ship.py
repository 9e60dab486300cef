"""Mark a row sent, commit, then ship it: the lock is short and so is the promise.

No two workers get the same row, and no transaction waits for the provider. But a worker that dies
after its claim leaves a row that says "sent" and was not: at most once, and a paid order that is
never shipped. A call that failed gives the row back, so only a death loses it; with a provider
that ignores keys that gift ships twice where the answer, not the call, was lost. While a call is
under way the outbox looks emptier than it is.
"""

import structlog

from service.outbox import DUE, put_off, ship
from service.pool import Pool
from service.provider import Provider, ProviderError

_CLAIM = f"""
UPDATE fulfillment_requests SET sent_at = now(), attempts = attempts + 1
WHERE id = (SELECT id FROM ({DUE} FOR UPDATE SKIP LOCKED) AS due)
RETURNING id, shop, order_id, idempotency_key, lines
"""

log = structlog.get_logger()


async def ship_one(pool: Pool, provider: Provider) -> bool:
    """Ship the next row that is due; False if there was none."""
    row = await pool.fetchrow(_CLAIM)
    if row is None:
        return False
    try:
        await ship(provider, row)
    except ProviderError as error:
        log.warning("not shipped", key=row["idempotency_key"], error=str(error))
        await put_off(pool, row)
    return True
