"""Write first and let the database decide: one statement, one round trip, exactly once.

The order's own row is the lock and the decision. Of all deliveries of one order, under whatever
webhook ids, one turns the row to 'paid' and gets it back; the others wait for that row, find it
settled and get nothing, and everything else in the statement hangs on that answer. A delivery
whose transaction dies takes its decision with it, so the next one decides anew. One statement
commits or not as a whole: an answer means it is durable, and no crash leaves a part.

Who gets nothing asks in a second statement what the order is, paid or cancelled: the first one
cannot see what it has waited for. Neither status ever changes again, so the answer cannot age.

The provider's key names the order and the effect, not the row, so that a relay that must repeat
a call (its answer was lost) repeats the same shipment.

Under REPEATABLE READ and SERIALIZABLE a loser that waited fails with a 503 instead, which the
retry heals: its snapshot does not know the row that it waited for.
"""

from service.pool import Pool
from service.provider import Provider
from service.steps import order_key, read_status
from service.strategies import Answer
from service.webhook import Webhook

# $1 shop  $2 order_id  $3 total_price  $4 lines  $5 key  $6 webhook_id  $7 topic
# `stock_locked` takes the stock rows in SKU order before any of them is updated: two orders that
# share SKUs wait for each other instead of deadlocking.
_STATEMENT = """
WITH decided AS (
    INSERT INTO orders (shop, order_id, status, total_price)
    VALUES ($1, $2, 'paid', $3::text::numeric)
    ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()
        WHERE orders.status = 'pending'
    RETURNING shop, order_id
), requested AS (
    INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
    SELECT shop, order_id, $5, $4::text::jsonb FROM decided
    ON CONFLICT (idempotency_key) DO NOTHING
), lines AS (
    SELECT decided.shop, decided.order_id, line.sku, line.quantity
    FROM decided, jsonb_to_recordset($4::text::jsonb) AS line(sku text, quantity bigint)
), stock_locked AS MATERIALIZED (
    SELECT stock.sku FROM stock
    WHERE stock.sku IN (SELECT sku FROM lines)
    ORDER BY stock.sku FOR UPDATE OF stock
), decremented AS (
    UPDATE stock SET remaining = remaining - lines.quantity
    FROM stock_locked JOIN lines ON lines.sku = stock_locked.sku
    WHERE stock.sku = stock_locked.sku
    RETURNING lines.shop, lines.order_id, stock.sku, lines.quantity
), moved AS (
    INSERT INTO stock_movements (shop, order_id, sku, quantity)
    SELECT shop, order_id, sku, quantity FROM decremented
), logged AS (
    INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status)
    SELECT $6, $7, shop, order_id, 'success' FROM decided
    ON CONFLICT (webhook_id) DO NOTHING
)
SELECT EXISTS (SELECT FROM decided)
"""


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Run the one statement, which asyncpg keeps prepared; a second one if it decided nothing."""
    async with pool.acquire() as connection:
        decided = await connection.fetchval(
            _STATEMENT,
            webhook.shop,
            webhook.order_id,
            webhook.total_price,
            webhook.lines_json,
            order_key(webhook),
            webhook.webhook_id,
            webhook.topic,
        )
        if decided:
            return Answer(200, "fulfillment requested")
        paid = await read_status(connection, webhook) == "paid"
    return Answer(200, "duplicate order" if paid else "order cancelled")
