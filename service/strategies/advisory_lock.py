"""Take a lock on the order's number, check again, then write.

The lock is there whether the order's row is or not, so deliveries of one order come one after
the other, and under READ COMMITTED each check sees what the one before has committed. The lock
ends with the transaction: after the COMMIT, never before it. The cancellation of an order does
not take the lock, so the write still asks for the status it replaces.

Under REPEATABLE READ and SERIALIZABLE the snapshot is as old as the wait for the lock, so the
check sees nothing. What saves it is the write: it meets a row that the snapshot does not know and
fails (a 503, healed by the retry). A handler whose check is all it has ships twice there.
"""

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


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Lock and check; then pay, record and log in the same transaction."""
    async with (
        pool.acquire() as connection,
        transaction(connection),
    ):
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            f"{webhook.shop}:{webhook.order_id}",
        )
        status = await read_status(connection, webhook)
        if settled := answer_settled(status):
            return settled
        if not await pay_unsettled_order(connection, webhook):
            return Answer(200, "order cancelled")
        await request_shipment_of_order(connection, webhook)
        await take_stock(connection, webhook)
        await log_first(connection, webhook, "success")
        return Answer(200, "fulfillment requested")
