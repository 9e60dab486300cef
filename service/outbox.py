"""The outbox as relays see it: which row is due, and what becomes of it.

A row is due until it is sent; a call that failed puts it off for a while that grows with its
attempts, so that the others pass. `sent_at` is all that says "sent", so who sets it, and when,
is what makes relays differ.
"""

import json

import asyncpg

from service.database import Session
from service.provider import Provider

# The row that has waited longest. A relay adds its own locking clause.
DUE = """
SELECT id, shop, order_id, idempotency_key, lines FROM fulfillment_requests
WHERE sent_at IS NULL AND next_attempt_at <= now()
ORDER BY next_attempt_at LIMIT 1
"""


async def ship(provider: Provider, row: asyncpg.Record) -> None:
    """Call the provider with the row's own key; ProviderError unless it confirmed."""
    lines = json.loads(row["lines"])
    await provider.ship(row["shop"], row["order_id"], lines, row["idempotency_key"])


async def mark_sent(session: Session, row: asyncpg.Record) -> None:
    """The row is not due any more."""
    await session.execute(
        "UPDATE fulfillment_requests SET sent_at = now(), attempts = attempts + 1 WHERE id = $1",
        row["id"],
    )


async def put_off(session: Session, row: asyncpg.Record) -> None:
    """The row is due again later."""
    await session.execute(
        "UPDATE fulfillment_requests SET sent_at = NULL, attempts = attempts + 1,"
        " next_attempt_at = now() + least(5, 0.1 * 2 ^ least(attempts, 10)) * interval '1 second'"
        " WHERE id = $1",
        row["id"],
    )
