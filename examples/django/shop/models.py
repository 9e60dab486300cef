"""The tables."""

from django.db import models


class Order(models.Model):
    """One order of one shop."""

    shop = models.TextField()
    order_id = models.BigIntegerField()
    status = models.TextField(default="pending")

    class Meta:
        constraints = [models.UniqueConstraint("shop", "order_id", name="one_row_for_each_order")]


class FulfillmentRequest(models.Model):
    """What the relay has to send to the provider, under a key."""

    shop = models.TextField()
    order_id = models.BigIntegerField()
    idempotency_key = models.TextField(unique=True)
    lines = models.JSONField()
    sent_at = models.DateTimeField(null=True)


class WebhookLog(models.Model):
    """Webhooks that were worked off."""

    webhook_id = models.TextField(primary_key=True)
    shop = models.TextField()
    order_id = models.BigIntegerField()
    status = models.TextField()
