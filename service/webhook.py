"""What is let in: a signed, readable, well-typed order, or a refusal with a 4xx.

Shopify signs the raw body and nothing else: no header, no time. So the signature is checked over
the bytes as they came, before anything parses them, and the headers stay unauthenticated hints:
whoever holds one signed body can send it again under a fresh webhook id. Two secrets are
accepted, because Shopify signs with the old one for up to an hour after a rotation.

Everything past this module may trust its types: ids fit a Postgres bigint, texts hold no NUL,
quantities and line counts are bounded, and lines are merged by SKU and sorted, which is the
order in which all strategies lock stock rows.
"""

import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

BODY_LIMIT_BYTES = 1024 * 1024
MAX_LINES = 1000

_WEBHOOK_ID = re.compile(r"[!-~]{1,128}")
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\.myshopify\.com")

_MONEY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


class RefusedError(Exception):
    """The delivery is answered with a 4xx and changes nothing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Line(NamedTuple):
    """How many of one SKU the order takes."""

    sku: str
    quantity: int


class Webhook(msgspec.Struct, frozen=True):
    """One authentic delivery, reduced to what the strategies need."""

    webhook_id: str
    topic: str
    shop: str
    order_id: int
    total_price: str | None
    lines: tuple[Line, ...]

    @property
    def lines_json(self) -> str:
        """The lines as the outbox stores them and the provider gets them."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in self.lines]
        return msgspec.json.encode(lines).decode()


class _LineItem(msgspec.Struct):
    quantity: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    sku: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class _Order(msgspec.Struct):
    id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    line_items: Annotated[list[_LineItem], msgspec.Meta(max_length=MAX_LINES)]
    total_price: str | None = None


_decoder = msgspec.json.Decoder(_Order)


def authenticate(body: bytes, header: str | None, secrets: Sequence[bytes]) -> None:
    """Refuse with 401 unless one of the secrets signed exactly these bytes."""
    try:
        given = binascii.a2b_base64(header or "", strict_mode=True)
    except ValueError:
        given = b""
    # Every secret is tried, so that the time taken does not tell which one matched.
    matches = [hmac.compare_digest(given, hmac.digest(key, body, "sha256")) for key in secrets]
    if not any(matches):
        raise RefusedError(401, "the signature is missing or wrong")


def parse(body: bytes, headers: Mapping[str, str], topic: str) -> Webhook:
    """Read an authentic delivery; refuse with 400 what does not fit."""
    webhook_id = headers.get("X-Shopify-Webhook-Id", "")
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise RefusedError(400, "X-Shopify-Webhook-Id is missing or unusable")
    shop = headers.get("X-Shopify-Shop-Domain", "").lower()
    if not _SHOP.fullmatch(shop):
        raise RefusedError(400, "X-Shopify-Shop-Domain is missing or unusable")
    try:
        # Decoded strictly first: msgspec does not look into the texts that it skips.
        order = _decoder.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not a usable order: {error}"[:300]) from None
    if order.total_price is not None and not _MONEY.fullmatch(order.total_price):
        raise RefusedError(400, "the body is not a usable order: its price is no amount")
    return Webhook(
        webhook_id=webhook_id,
        topic=topic,
        shop=shop,
        order_id=order.id,
        total_price=order.total_price,
        lines=_merge(order.line_items),
    )


def _merge(items: Sequence[_LineItem]) -> tuple[Line, ...]:
    """One line per SKU, sorted. Items without a SKU (tips, gift cards) are not stocked.

    msgspec has refused lone surrogates, the other thing in a text that Postgres cannot store.
    """
    quantities: dict[str, int] = {}
    for item in items:
        if item.sku and "\x00" in item.sku:  # Postgres cannot store it
            raise RefusedError(400, "the body is not a usable order: a NUL in a sku")
        if item.sku and item.quantity:
            quantities[item.sku] = quantities.get(item.sku, 0) + item.quantity
    return tuple(Line(sku, quantities[sku]) for sku in sorted(quantities))
