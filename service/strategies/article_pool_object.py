"""The published fix, run on the pool object as if the pool were a connection.

Each statement takes some connection of the pool and commits by itself, so there is no transaction
at all: a duplicate sees 'paid' before the fulfillment is recorded and is acknowledged too early,
two with the same webhook id both ship before the log's key stops one, and a crash leaves whatever
was written so far. After a crash between 'paid' and the fulfillment every retry is a "duplicate",
and the order is never shipped.

BEGIN and COMMIT are left out: a BEGIN is rolled back when its connection returns to the pool. In a
pool that does not do so, the next user of that connection also inherits the open transaction.
No isolation level helps: each lasts for one statement.
"""

from contextlib import nullcontext

from service.pool import Pool
from service.provider import Provider
from service.strategies import Answer
from service.strategies.article import deliver
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """The article's steps, enclosed by nothing."""
    return await deliver(webhook, pool, nullcontext())
