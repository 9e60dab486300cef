"""The published fix, as it was meant: a webhook log, and a status check in a transaction.

It stops a retry that comes later, and the log's primary key stops two copies with the same
webhook id (the loser gets a 500). It does not stop two deliveries of one order with different
webhook ids: under READ COMMITTED both SELECTs see an unpaid order, the second UPDATE waits for
the first, then overwrites 'paid' with 'paid', and both transactions ship. The UPDATE is blind:
nobody asks whether it changed a row, or whether there is one. The key is the row's own id, so to
the provider the two rows are two shipments.
"""

import asyncpg

from service.database import ACQUIRE_TIMEOUT_SECONDS, CommitError, commit, rollback
from service.provider import Provider
from service.strategies import Answer
from service.webhook import Webhook

_LOG = (
    "INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status)"
    " VALUES ($1, $2, $3, $4, $5)"
)


async def handle(webhook: Webhook, pool: asyncpg.Pool, provider: Provider) -> Answer:
    """Look up the webhook id; then check, pay, record and log in one transaction."""
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        known = await connection.fetchval(
            "SELECT webhook_id FROM shopify_webhook_log WHERE webhook_id = $1", webhook.webhook_id
        )
        if known is not None:
            return Answer(200, "duplicate webhook")
        await connection.execute("BEGIN")
        try:
            outcome = await _in_transaction(webhook, connection)
            await commit(connection)
        except (asyncpg.UniqueViolationError, CommitError) as error:
            await rollback(connection)
            return Answer(500, f"rolled back: {error}")
        except Exception:
            await rollback(connection)
            raise
        return Answer(200, outcome)


async def _in_transaction(webhook: Webhook, connection: asyncpg.pool.PoolConnectionProxy) -> str:
    order = (webhook.shop, webhook.order_id)
    log = (webhook.webhook_id, webhook.topic, *order)
    status = await connection.fetchval(
        "SELECT status FROM orders WHERE shop = $1 AND order_id = $2", *order
    )
    if status == "paid":
        await connection.execute(_LOG, *log, "duplicate_internal_status")
        return "duplicate order"
    await connection.execute(
        "UPDATE orders SET status = 'paid', updated_at = now() WHERE shop = $1 AND order_id = $2",
        *order,
    )
    await connection.execute(
        "INSERT INTO fulfillment_requests (id, shop, order_id, idempotency_key, lines)"
        " SELECT id, $1, $2, id::text, $3::text::jsonb"
        " FROM nextval('fulfillment_requests_id_seq') AS id",
        *order,
        webhook.lines_json,
    )
    for sku, quantity in webhook.lines:
        await connection.execute(
            "UPDATE stock SET remaining = remaining - $2 WHERE sku = $1", sku, quantity
        )
        await connection.execute(
            "INSERT INTO stock_movements (shop, order_id, sku, quantity)"
            " SELECT $1, $2, sku, $4 FROM stock WHERE sku = $3",
            *order,
            sku,
            quantity,
        )
    await connection.execute(_LOG, *log, "success")
    return "fulfillment requested"
