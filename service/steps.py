"""The steps that the strategies are put together from, each of them one or two statements.

A strategy that speaks to the database more than once is an order of such steps and a choice of
what encloses them; whether it is right lies in that order and that choice, so those stand in the
strategy's own file and the SQL stands here, once. Every step takes a `Session`: a connection
inside a transaction, or whatever a wrong strategy mistakes for one.

Two steps name the shipment, and the provider believes the name: `request_shipment_of_row` makes
two rows two shipments, `request_shipment_of_order` makes an order one.
"""

from typing import Any

from service.database import Session
from service.strategies import Answer
from service.webhook import Webhook

LOG_TABLE = "shopify_webhook_log"


def order_key(webhook: Webhook) -> str:
    """The idempotency key that names the order and the effect, not the row or the delivery."""
    return f"{webhook.shop}:{webhook.order_id}:fulfil:v1"


async def read_status(session: Session, webhook: Webhook, lock: str = "") -> str | None:
    """The order's status, None without a row; `lock` is a locking clause such as FOR UPDATE."""
    status: str | None = await session.fetchval(
        f"SELECT status FROM orders WHERE shop = $1 AND order_id = $2 {lock}".strip(),
        webhook.shop,
        webhook.order_id,
    )
    return status


def answer_settled(status: str | None) -> Answer | None:
    """The answer for an order that is paid or cancelled, None for one that is still to be paid.

    Neither is logged by those that ask: a log row stands for a delivery that paid its order, and
    a transaction that only reads has nothing to lose.
    """
    match status:
        case "paid":
            return Answer(200, "duplicate order")
        case "cancelled":
            return Answer(200, "order cancelled")
        case _:
            return None


async def pay_known_order(session: Session, webhook: Webhook) -> None:
    """Set it to paid, whatever it was; nobody asks whether there was a row."""
    await session.execute(
        "UPDATE orders SET status = 'paid', updated_at = now() WHERE shop = $1 AND order_id = $2",
        webhook.shop,
        webhook.order_id,
    )


async def pay_any_order(session: Session, webhook: Webhook) -> None:
    """Set it to paid, whatever it was, or insert it as paid."""
    await session.execute(
        "INSERT INTO orders (shop, order_id, status, total_price)"
        " VALUES ($1, $2, 'paid', $3::text::numeric)"
        " ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()",
        webhook.shop,
        webhook.order_id,
        webhook.total_price,
    )


async def pay_unsettled_order(session: Session, webhook: Webhook) -> bool:
    """Insert it as paid, or turn it from pending to paid; False if it was paid or cancelled."""
    tag = await session.execute(
        "INSERT INTO orders (shop, order_id, status, total_price)"
        " VALUES ($1, $2, 'paid', $3::text::numeric)"
        " ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()"
        " WHERE orders.status = 'pending'",
        webhook.shop,
        webhook.order_id,
        webhook.total_price,
    )
    return tag == "INSERT 0 1"


async def request_shipment_of_row(session: Session, webhook: Webhook) -> None:
    """Write an outbox row whose key is its own id."""
    await session.execute(
        "INSERT INTO fulfillment_requests (id, shop, order_id, idempotency_key, lines)"
        " SELECT id, $1, $2, id::text, $3::text::jsonb"
        " FROM nextval('fulfillment_requests_id_seq') AS id",
        webhook.shop,
        webhook.order_id,
        webhook.lines_json,
    )


async def request_shipment_of_order(session: Session, webhook: Webhook) -> None:
    """Write the order's one outbox row; a second one violates its unique key."""
    await session.execute(
        "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)"
        " VALUES ($1, $2, $3, $4::text::jsonb)",
        webhook.shop,
        webhook.order_id,
        order_key(webhook),
        webhook.lines_json,
    )


async def record_shipment(session: Session, webhook: Webhook, key: str) -> None:
    """Write an outbox row that the relay finds already sent."""
    await session.execute(
        "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines, sent_at)"
        " VALUES ($1, $2, $3, $4::text::jsonb, now())",
        webhook.shop,
        webhook.order_id,
        key,
        webhook.lines_json,
    )


async def take_stock(session: Session, webhook: Webhook) -> None:
    """Take each line from the stock; lines are sorted by SKU, so rows are locked in that order."""
    for sku, quantity in webhook.lines:
        await session.execute(
            "UPDATE stock SET remaining = remaining - $2 WHERE sku = $1", sku, quantity
        )
        await session.execute(
            "INSERT INTO stock_movements (shop, order_id, sku, quantity)"
            " SELECT $1, $2, sku, $4 FROM stock WHERE sku = $3",
            webhook.shop,
            webhook.order_id,
            sku,
            quantity,
        )


async def is_logged(session: Session, webhook: Webhook) -> bool:
    """Whether the webhook id is in the log already."""
    known = await session.fetchval(
        "SELECT webhook_id FROM shopify_webhook_log WHERE webhook_id = $1", webhook.webhook_id
    )
    return known is not None


async def log(session: Session, webhook: Webhook, status: str, table: str = LOG_TABLE) -> None:
    """Log the delivery; raises where the table's key is unique and the webhook id is there."""
    await session.execute(_log_statement(table), *_log_row(webhook, status))


async def log_first(session: Session, webhook: Webhook, status: str) -> bool:
    """Log the delivery unless its webhook id is logged; True if it was the first."""
    tag = await session.execute(
        f"{_log_statement(LOG_TABLE)} ON CONFLICT DO NOTHING", *_log_row(webhook, status)
    )
    return tag == "INSERT 0 1"


def _log_statement(table: str) -> str:
    return (
        f"INSERT INTO {table} (webhook_id, topic, shop, order_id, status)"
        " VALUES ($1, $2, $3, $4, $5)"
    )


def _log_row(webhook: Webhook, status: str) -> tuple[Any, ...]:
    return webhook.webhook_id, webhook.topic, webhook.shop, webhook.order_id, status
