"""The published fix, as it was meant: a webhook log, and a status check in a transaction.

It stops a retry that comes later, and the log's primary key stops two copies with the same
webhook id (the loser gets a 500). It does not stop two deliveries of one order with different
webhook ids: under READ COMMITTED both SELECTs see an unpaid order, the second UPDATE waits for
the first, then overwrites 'paid' with 'paid', and both transactions ship. The UPDATE is blind:
nobody asks whether it changed a row, or whether there is one. So an order without a row is
shipped but never paid, once for each webhook id, and a cancelled one is paid and shipped. The
key is the row's own id, so to the provider the two rows are two shipments.

Under REPEATABLE READ and SERIALIZABLE the second UPDATE fails instead (a 503, which the retry
heals), but only where there is a row to update: without it nothing changes.

The files named article_… change one thing each; `deliver` offers them what they change.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import asyncpg

from service.database import CommitError, Session, transaction
from service.pool import Pool
from service.provider import Provider
from service.steps import (
    LOG_TABLE,
    is_logged,
    log,
    pay_known_order,
    read_status,
    request_shipment_of_row,
    take_stock,
)
from service.strategies import Answer
from service.webhook import Webhook

Fulfil = Callable[[Session, Webhook], Awaitable[None]]


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Look up the webhook id; then check, pay, record and log in one transaction."""
    async with pool.acquire() as connection:
        return await deliver(webhook, connection, transaction(connection))


async def deliver(
    webhook: Webhook,
    session: Session,
    enclosed: AbstractAsyncContextManager[None],
    *,
    fulfil: Fulfil = request_shipment_of_row,
    log_table: str = LOG_TABLE,
) -> Answer:
    """The article's steps: where they run, what encloses them, who ships, which log it writes."""
    if await is_logged(session, webhook):
        return Answer(200, "duplicate webhook")
    try:
        async with enclosed:
            if await read_status(session, webhook) == "paid":
                await log(session, webhook, "duplicate_internal_status", log_table)
                return Answer(200, "duplicate order")
            await pay_known_order(session, webhook)
            await fulfil(session, webhook)
            await take_stock(session, webhook)
            await log(session, webhook, "success", log_table)
            return Answer(200, "fulfillment requested")
    except (asyncpg.UniqueViolationError, CommitError) as error:
        return Answer(500, f"failed: {error}")
