"""Read the status, then compare and set: the UPDATE names what was read, its row count decides.

Of all deliveries of one order one changes the row; the others wait for it, compare again and
change nothing. That is right, and it needs no lock of its own. But a read that finds no row has
nothing to compare with: when orders/paid comes before orders/create, the payment is acknowledged
and nothing is done, now or ever. Right only if there is a row.

Under REPEATABLE READ and SERIALIZABLE the loser fails with a 503, which the retry heals.
"""

from service.database import transaction
from service.pool import Pool
from service.provider import Provider
from service.steps import (
    answer_settled,
    log_first,
    read_status,
    request_shipment_of_order,
    take_stock,
)
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Read; turn the order from pending to paid; do the rest if that changed a row."""
    async with (
        pool.acquire() as connection,
        transaction(connection),
    ):
        status = await read_status(connection, webhook)
        if status is None:
            return Answer(200, "unknown order")
        if settled := answer_settled(status):
            return settled
        tag = await connection.execute(
            "UPDATE orders SET status = 'paid', updated_at = now()"
            " WHERE shop = $1 AND order_id = $2 AND status = $3",
            webhook.shop,
            webhook.order_id,
            status,
        )
        if tag == "UPDATE 0":
            paid = await read_status(connection, webhook) == "paid"
            return Answer(200, "duplicate order" if paid else "order cancelled")
        await request_shipment_of_order(connection, webhook)
        await take_stock(connection, webhook)
        await log_first(connection, webhook, "success")
        return Answer(200, "fulfillment requested")
