"""The published fix with the provider called inside the transaction, under a fresh key.

The transaction can take back every row, but not the shipment. A loser that rolls back has shipped
(two copies with the same webhook id: one 200, one 500, two shipments), a crash between the call
and the COMMIT has shipped, and the retry ships again: its key is a new one, so a provider that
honours keys cannot know better. The outbox row is written as already sent, so no relay repeats it.

Under REPEATABLE READ and SERIALIZABLE, if the order's row is there, the loser fails at its UPDATE,
before it has shipped; a crash ships twice all the same.
"""

import uuid

from service.database import Session, transaction
from service.pool import Pool
from service.provider import Provider, ProviderError
from service.steps import record_shipment
from service.strategies import Answer
from service.strategies.article import deliver
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """The article's steps, with the call in the place of the wish to ship."""

    async def ship(session: Session, webhook: Webhook) -> None:
        key = str(uuid.uuid4())
        lines = [line._asdict() for line in webhook.lines]
        await provider.ship(webhook.shop, webhook.order_id, lines, key)
        await record_shipment(session, webhook, key)

    async with pool.acquire() as connection:
        try:
            return await deliver(webhook, connection, transaction(connection), fulfil=ship)
        except ProviderError:
            return Answer(503, "provider unavailable")
