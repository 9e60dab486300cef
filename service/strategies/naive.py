"""Check, ship, then write: what the first version of many consumers does. Wrong on purpose.

Nothing ties the check to the writes: two deliveries at the same instant both see an unpaid order
and both ship, each under a fresh key. Every statement commits by itself, so a crash leaves
whatever was written so far; a crash right after the provider's answer leaves a shipment that no
row knows, and the retry ships again.
"""

import uuid

import asyncpg

from service.provider import Provider, ProviderError
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: asyncpg.Pool, provider: Provider) -> Answer:
    """Ship if the order is not yet paid, then record it statement by statement."""
    order = (webhook.shop, webhook.order_id)
    status = await pool.fetchval(
        "SELECT status FROM orders WHERE shop = $1 AND order_id = $2", *order
    )
    if status == "paid":
        return Answer(200, "duplicate")
    key = str(uuid.uuid4())
    try:
        await provider.ship(*order, [line._asdict() for line in webhook.lines], key)
    except ProviderError:
        return Answer(503, "provider unavailable")
    await pool.execute(
        "INSERT INTO orders (shop, order_id, status, total_price)"
        " VALUES ($1, $2, 'paid', $3::text::numeric)"
        " ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()",
        *order,
        webhook.total_price,
    )
    await pool.execute(
        "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines, sent_at)"
        " VALUES ($1, $2, $3, $4::text::jsonb, now())",
        *order,
        key,
        webhook.lines_json,
    )
    for sku, quantity in webhook.lines:
        await pool.execute(
            "UPDATE stock SET remaining = remaining - $2 WHERE sku = $1", sku, quantity
        )
        await pool.execute(
            "INSERT INTO stock_movements (shop, order_id, sku, quantity)"
            " SELECT $1, $2, sku, $4 FROM stock WHERE sku = $3",
            *order,
            sku,
            quantity,
        )
    await pool.execute(
        "INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status)"
        " VALUES ($1, $2, $3, $4, 'success') ON CONFLICT DO NOTHING",
        webhook.webhook_id,
        webhook.topic,
        *order,
    )
    return Answer(200, "shipped")
