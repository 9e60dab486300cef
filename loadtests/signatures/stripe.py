"""Stripe: `Stripe-Signature: t=TIME,v1=HEX`, HEX = HMAC-SHA256(secret, "TIME.body").

The secret is used as it is written, `whsec_` included. Receivers refuse a time that is more than
five minutes off. The event's id stands in the body alone: `{{ webhook_id }}` in its template.
"""

import hashlib
import hmac

from loadtests.signatures.scheme import Scheme
from loadtests.traffic import PlannedOrder


def sign(secret: str, body: bytes, webhook_id: str, at_seconds: int) -> str:
    """The signature of a raw body at a time."""
    signed = f"{at_seconds}.".encode() + body
    return f"t={at_seconds},v1={hmac.digest(secret.encode(), signed, hashlib.sha256).hex()}"


def headers(order: PlannedOrder, webhook_id: str, topic: str, at_seconds: int) -> dict[str, str]:
    """All headers of one delivery but its signature."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
    }


SCHEME = Scheme("Stripe-Signature", sign, headers, signs_time=True)
