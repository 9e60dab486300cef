"""`manage.py relay` sends what the handlers asked for, each request under its own key."""

import json
import os
import time
import urllib.request

from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from shop.models import FulfillmentRequest


class Command(BaseCommand):
    """One that dies between the call and its note calls again: the key makes that harmless."""

    def handle(self, **options):
        """Run until it is ended."""
        while True:
            try:
                sent = send_some()
            except OSError as error:
                self.stderr.write(str(error))
                sent = 0
            if not sent:
                time.sleep(0.05)


def send_some():
    """Send up to twenty; returns how many there were."""
    close_old_connections()
    waiting = list(FulfillmentRequest.objects.filter(sent_at=None).order_by("id")[:20])
    for one in waiting:
        body = {"shop": one.shop, "order_id": one.order_id, "lines": one.lines}
        request = urllib.request.Request(
            os.environ["FULFILLMENT_URL"],
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Idempotency-Key": one.idempotency_key},
        )
        with urllib.request.urlopen(request, timeout=5):
            FulfillmentRequest.objects.filter(id=one.id).update(sent_at=timezone.now())
    return len(waiting)
