"""Shopify: `X-Shopify-Hmac-Sha256`, base64(HMAC-SHA256(secret, raw body)).

Neither a time nor an id is signed, so whoever holds one delivery can make another one under any
id. Shopify publishes no vector of its own; RFC 4231 has those of the code beneath.
"""

import base64
import hashlib
import hmac

from loadtests.signatures.scheme import Scheme
from loadtests.traffic import PlannedOrder

API_VERSION = "2026-10"


def sign(secret: str, body: bytes, webhook_id: str, at_seconds: int) -> str:
    """The signature of a raw body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def headers(order: PlannedOrder, webhook_id: str, topic: str, at_seconds: int) -> dict[str, str]:
    """All headers of one delivery but its signature."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Shopify-Captain-Hook",
        "Accept": "*/*",
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": order.shop,
        "X-Shopify-API-Version": API_VERSION,
        "X-Shopify-Webhook-Id": webhook_id,
        "X-Shopify-Event-Id": order.event_id,
        "X-Shopify-Triggered-At": "2026-11-23T23:00:27.877041743Z",
        "X-Shopify-Order-Id": str(order.order_id),
    }


SCHEME = Scheme("X-Shopify-Hmac-Sha256", sign, headers)
