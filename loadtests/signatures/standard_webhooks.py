"""Standard Webhooks: `webhook-signature: v1,BASE64` of HMAC-SHA256(key, "ID.TIME.body").

The key is what the secret's base64 stands for, with or without `whsec_` before it. The id stays
the same however often a message is sent again. Svix signs alike, under headers of its own names.
"""

import base64
import binascii
import hashlib
import hmac

from loadtests.signatures.scheme import Scheme
from loadtests.traffic import PlannedOrder


def sign(secret: str, body: bytes, webhook_id: str, at_seconds: int) -> str:
    """The signature of a raw body under an id at a time; ValueError for a secret of no base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the secret of standard-webhooks must be base64") from None
    signed = f"{webhook_id}.{at_seconds}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def headers(order: PlannedOrder, webhook_id: str, topic: str, at_seconds: int) -> dict[str, str]:
    """All headers of one delivery but its signature."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "onceproof",
        "Accept": "*/*",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_seconds),
    }


SCHEME = Scheme("webhook-signature", sign, headers, signs_id=True, signs_time=True)
