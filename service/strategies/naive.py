"""Check, ship, then write: what the first version of many consumers does. Wrong on purpose.

Nothing ties the check to the writes: two deliveries at the same instant both see an unpaid order
and both ship, each under a fresh key. Every statement commits by itself, so whoever looks in
between sees a part, and a crash leaves it so; a crash right after the provider's answer leaves a
shipment that no row knows, and the retry ships again. A cancelled order is not 'paid', so it is
shipped as well. No isolation level helps: each lasts for one statement.
"""

import uuid

from service.pool import Pool
from service.provider import Provider, ProviderError
from service.steps import log_first, pay_any_order, read_status, record_shipment, take_stock
from service.strategies import Answer
from service.webhook import Webhook


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Ship if the order is not yet paid, then record it statement by statement."""
    if await read_status(pool, webhook) == "paid":
        return Answer(200, "duplicate")
    key = str(uuid.uuid4())
    lines = [line._asdict() for line in webhook.lines]
    try:
        await provider.ship(webhook.shop, webhook.order_id, lines, key)
    except ProviderError:
        return Answer(503, "provider unavailable")
    await pay_any_order(pool, webhook)
    await record_shipment(pool, webhook, key)
    await take_stock(pool, webhook)
    await log_first(pool, webhook, "success")
    return Answer(200, "shipped")
