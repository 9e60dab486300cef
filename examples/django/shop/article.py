"""The published fix, as Django: look up the webhook id, then check and write in one transaction."""

import uuid

from django.db import transaction

from shop.models import FulfillmentRequest, Order, WebhookLog


def handle(shop, webhook_id, order):
    """Two deliveries that come at once both read an unpaid order, and both ship."""
    if WebhookLog.objects.filter(webhook_id=webhook_id).exists():
        return
    with transaction.atomic():
        row = Order.objects.filter(shop=shop, order_id=order["id"]).first()
        status = "duplicate_internal_status"
        if row is None or row.status != "paid":
            status = "success"
            Order.objects.filter(shop=shop, order_id=order["id"]).update(status="paid")
            FulfillmentRequest.objects.create(
                shop=shop,
                order_id=order["id"],
                idempotency_key=uuid.uuid4(),
                lines=[
                    {key: one[key] for key in ("sku", "quantity")} for one in order["line_items"]
                ],
            )
        WebhookLog.objects.create(
            webhook_id=webhook_id, shop=shop, order_id=order["id"], status=status
        )
