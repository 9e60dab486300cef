"""The order's own row decides who ships, and the key derives from the order."""

from django.db import transaction

from shop.models import FulfillmentRequest, Order, WebhookLog


def handle(shop, webhook_id, order):
    """Whoever turns the row from pending to paid ships; the UPDATE waits for the other one."""
    with transaction.atomic():
        rows = Order.objects.filter(shop=shop, order_id=order["id"], status="pending")
        Order.objects.bulk_create([Order(shop=shop, order_id=order["id"])], ignore_conflicts=True)
        if rows.update(status="paid") == 0:
            return
        FulfillmentRequest.objects.create(
            shop=shop,
            order_id=order["id"],
            idempotency_key=f"{shop}:{order['id']}:fulfil:v1",
            lines=[{key: one[key] for key in ("sku", "quantity")} for one in order["line_items"]],
        )
        WebhookLog.objects.bulk_create(
            [WebhookLog(webhook_id=webhook_id, shop=shop, order_id=order["id"], status="success")],
            ignore_conflicts=True,
        )
