"""The tables, as `manage.py makemigrations` wrote them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="FulfillmentRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("shop", models.TextField()),
                ("order_id", models.BigIntegerField()),
                ("idempotency_key", models.TextField(unique=True)),
                ("lines", models.JSONField()),
                ("sent_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="WebhookLog",
            fields=[
                ("webhook_id", models.TextField(primary_key=True, serialize=False)),
                ("shop", models.TextField()),
                ("order_id", models.BigIntegerField()),
                ("status", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("shop", models.TextField()),
                ("order_id", models.BigIntegerField()),
                ("status", models.TextField(default="pending")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("shop"), models.F("order_id"), name="one_row_for_each_order"
                    )
                ],
            },
        ),
    ]
