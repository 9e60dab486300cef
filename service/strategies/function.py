"""What insert_first does, told step by step in a function of the database (schema.sql).

The call is one statement, so it commits as a whole or not at all, and the first step inside is
the decision: the order's own row turns to 'paid' for one delivery and for no other. Right for the
same reasons as `insert_first`, and easier to read. Its price is that nothing outside of the
database sees into it: a proxy sees one SELECT and can stop it before and after, not in between.

Under REPEATABLE READ and SERIALIZABLE the loser fails with a 503, which the retry heals.
"""

from service.pool import Pool
from service.provider import Provider
from service.steps import order_key
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Call it; its answer is ours."""
    async with pool.acquire() as connection:
        outcome = await connection.fetchval(
            "SELECT fulfil_paid_order($1, $2, $3, $4::text::jsonb, $5, $6, $7)",
            webhook.shop,
            webhook.order_id,
            webhook.total_price,
            webhook.lines_json,
            order_key(webhook),
            webhook.webhook_id,
            webhook.topic,
        )
    return Answer(200, outcome)
