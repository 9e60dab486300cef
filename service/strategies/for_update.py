"""Lock the order's row with SELECT … FOR UPDATE, then decide. Right only if there is a row.

The second delivery waits at its SELECT and then reads what the first one committed. But a lock
needs something to hold: when orders/paid comes before orders/create, both SELECTs return nothing
and lock nothing, both insert the order (the second as an update of the first one's row), and
both ship, since the key is the row's own id. With the same webhook id the log's primary key stops
the second with a 500. An order that is cancelled in that same moment is shipped, too.

Under REPEATABLE READ and SERIALIZABLE the loser fails (a 503, healed by the retry) whether there
was a row or not, because its snapshot does not know the winner's: then it is right.
"""

import asyncpg

from service.database import CommitError, transaction
from service.pool import Pool
from service.provider import Provider
from service.steps import (
    answer_settled,
    log,
    pay_any_order,
    read_status,
    request_shipment_of_row,
    take_stock,
)
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Lock and check; then pay, record and log in the same transaction."""
    try:
        async with (
            pool.acquire() as connection,
            transaction(connection),
        ):
            status = await read_status(connection, webhook, "FOR UPDATE")
            if settled := answer_settled(status):
                return settled
            await pay_any_order(connection, webhook)
            await request_shipment_of_row(connection, webhook)
            await take_stock(connection, webhook)
            await log(connection, webhook, "success")
            return Answer(200, "fulfillment requested")
    except (asyncpg.UniqueViolationError, CommitError) as error:
        return Answer(500, f"failed: {error}")
