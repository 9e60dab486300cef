"""Signature, then the handler that STRATEGY names."""

import base64
import functools
import hmac
import json
import os

from django.db import connection
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

from shop import article, fixed
from shop.models import Order

HANDLERS = {"article": article.handle, "fixed": fixed.handle}


def ready(request):
    """Can it reach its database?"""
    connection.ensure_connection()
    return HttpResponse("ready")


def signed(view):
    """Let in what carries the signature of its raw body."""

    @csrf_exempt
    @functools.wraps(view)
    def checked(request):
        digest = hmac.digest(os.environ["SHOPIFY_SHARED_SECRET"].encode(), request.body, "sha256")
        given = request.headers.get("X-Shopify-Hmac-Sha256", "")
        if not hmac.compare_digest(given.encode(), base64.b64encode(digest)):
            return HttpResponse(status=401)
        shop = request.headers["X-Shopify-Shop-Domain"]
        return view(shop, request.headers["X-Shopify-Webhook-Id"], json.loads(request.body))

    return checked


@signed
def created(shop, webhook_id, order):
    """The order's row, before it is paid."""
    Order.objects.bulk_create([Order(shop=shop, order_id=order["id"])], ignore_conflicts=True)
    return HttpResponse()


@signed
def paid(shop, webhook_id, order):
    """The order is paid."""
    HANDLERS[os.environ["STRATEGY"]](shop, webhook_id, order)
    return HttpResponse()
