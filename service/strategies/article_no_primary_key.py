"""The published fix with a log whose webhook ids are not unique.

The lookup that comes first is then all that stops a copy with the same webhook id, and two that
look at the same time both find nothing: both ship, both are answered with 200. Everything else is
as in `article`, the isolation levels included.
"""

from service.database import transaction
from service.pool import Pool
from service.provider import Provider
from service.strategies import Answer
from service.strategies.article import deliver
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """The article's steps, with the other log."""
    async with pool.acquire() as connection:
        return await deliver(
            webhook,
            connection,
            transaction(connection),
            log_table="shopify_webhook_log_without_key",
        )
