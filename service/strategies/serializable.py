"""Check, then write, in a SERIALIZABLE transaction that is repeated when Postgres refuses it.

Postgres lets transactions commit only if some order of theirs, one after the other, gives the
same result, and two deliveries that both find the order unpaid have none. The loser fails, starts
anew and finds the order paid. Whoever forgets to start anew has a handler that fails under load;
whoever never gives up has one that the sender times out. After the last retry the answer is a
503, and the sender's retry goes on. Orders that share SKUs make each other fail, too.

It names its own isolation level: ISOLATION does not change it.
"""

import asyncpg

from service.database import transaction
from service.pool import Pool
from service.provider import Provider
from service.steps import (
    answer_settled,
    log_first,
    pay_unsettled_order,
    read_status,
    request_shipment_of_order,
    take_stock,
)
from service.strategies import Answer
from service.webhook import Webhook

RETRIES = 3


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Check, pay, record and log in one transaction, at most 1 + RETRIES times."""
    for _ in range(1 + RETRIES):
        try:
            async with (
                pool.acquire() as connection,
                transaction(connection, "BEGIN ISOLATION LEVEL SERIALIZABLE"),
            ):
                status = await read_status(connection, webhook)
                if settled := answer_settled(status):
                    return settled
                # Nobody can have settled it since: this would fail first.
                await pay_unsettled_order(connection, webhook)
                await request_shipment_of_order(connection, webhook)
                await take_stock(connection, webhook)
                await log_first(connection, webhook, "success")
                return Answer(200, "fulfillment requested")
        except asyncpg.TransactionRollbackError:
            continue
    return Answer(503, f"refused by the database {1 + RETRIES} times")
