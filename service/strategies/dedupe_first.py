"""Claim the webhook id in a transaction of its own, then do the work in another.

The claim is durable before the work is, and a duplicate is acknowledged on the strength of the
claim alone: it is told "done" while the first delivery still works, and if that one dies, every
retry is told so and the order is never paid or shipped. An answer that failed (a 503) is poisoned
in the same way. Distinct webhook ids are distinct claims: behind them stands the same blind check
as in `article`, with the same two shipments.

Under REPEATABLE READ and SERIALIZABLE the loser of two distinct ids fails at its UPDATE, and its
retry finds its own claim: that is harmless, because the winner has committed. But any two orders
that share a SKU can make each other fail there, and then the retry of an order that nobody else
delivers finds its claim, too: lost, without any crash.
"""

from service.database import transaction
from service.pool import Pool
from service.provider import Provider
from service.steps import (
    log_first,
    pay_known_order,
    read_status,
    request_shipment_of_row,
    take_stock,
)
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Claim; then check, pay, record and take from the stock in one transaction."""
    async with pool.acquire() as connection:
        if not await log_first(connection, webhook, "claimed"):
            return Answer(200, "duplicate webhook")
        async with transaction(connection):
            if await read_status(connection, webhook) == "paid":
                return Answer(200, "duplicate order")
            await pay_known_order(connection, webhook)
            await request_shipment_of_row(connection, webhook)
            await take_stock(connection, webhook)
            return Answer(200, "fulfillment requested")
