"""What orders/create and orders/cancelled do to an order; the same whatever strategy pays it.

Shopify promises no order among topics, so each may come first. Each is one statement that commits
by itself and moves the status one way only: pending, then either paid or cancelled for good.
"""

from service.pool import Pool
from service.strategies import Answer
from service.webhook import Webhook


async def insert_pending(webhook: Webhook, pool: Pool) -> Answer:
    """orders/create may come after the others: it never changes an order that exists."""
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO orders (shop, order_id, status, total_price)"
            " VALUES ($1, $2, 'pending', $3::text::numeric) ON CONFLICT DO NOTHING",
            webhook.shop,
            webhook.order_id,
            webhook.total_price,
        )
    return Answer(200, "order known")


async def cancel_unless_paid(webhook: Webhook, pool: Pool) -> Answer:
    """An unknown order is inserted as cancelled, so that a late orders/paid finds it so.

    A paid one stays paid: it is on its way, and giving the money back is another process.
    """
    async with pool.acquire() as connection:
        tag = await connection.execute(
            "INSERT INTO orders (shop, order_id, status, total_price)"
            " VALUES ($1, $2, 'cancelled', $3::text::numeric)"
            " ON CONFLICT (shop, order_id) DO UPDATE SET status = 'cancelled', updated_at = now()"
            " WHERE orders.status <> 'paid'",
            webhook.shop,
            webhook.order_id,
            webhook.total_price,
        )
    return Answer(200, "order cancelled" if tag == "INSERT 0 1" else "order already paid")
