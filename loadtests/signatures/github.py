"""GitHub: `X-Hub-Signature-256: sha256=HEX`, HEX = HMAC-SHA256(secret, raw body).

The delivery's id is `X-GitHub-Delivery`, which a redelivery keeps; it is not signed. The event is
the topic with an underscore: `orders_paid`.
"""

import hashlib
import hmac

from loadtests.signatures.scheme import Scheme
from loadtests.traffic import PlannedOrder


def sign(secret: str, body: bytes, webhook_id: str, at_seconds: int) -> str:
    """The signature of a raw body."""
    return f"sha256={hmac.digest(secret.encode(), body, hashlib.sha256).hex()}"


def headers(order: PlannedOrder, webhook_id: str, topic: str, at_seconds: int) -> dict[str, str]:
    """All headers of one delivery but its signature."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/onceproof",
        "Accept": "*/*",
        "X-GitHub-Event": topic.replace("/", "_"),
        "X-GitHub-Delivery": webhook_id,
        "X-GitHub-Hook-ID": "1",
    }


SCHEME = Scheme("X-Hub-Signature-256", sign, headers)
