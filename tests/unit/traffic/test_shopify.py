"""What is sent looks like Shopify's, byte for byte where a service could notice."""

import base64
import hashlib
import itertools
import json

import pytest

from cluster.wire.redaction import KEY
from loadtests import shopify
from loadtests.signatures.shopify import headers as headers_of
from loadtests.signatures.shopify import sign
from loadtests.traffic import SHOP, SKUS, PlannedOrder, Webhook, plan_orders
from results.records import Line


def order(lines: int = 1) -> PlannedOrder:
    return PlannedOrder(
        order_id=910_000_010_000_000_001,
        event_id="98880550-7158-44d4-b7cd-2c97c8a091b5",
        offset_seconds=0.0,
        webhooks=(Webhook("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", 0),),
        lines=tuple(Line(sku=sku, quantity=2) for sku in SKUS[:lines]),
    )


def hmac_by_hand(key: bytes, message: bytes) -> bytes:
    """RFC 2104, without the module under test's hmac."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()


def test_the_body_has_shopifys_94_top_level_keys() -> None:
    keys = set(json.loads(shopify.body(order())))
    assert len(keys) == 94
    assert "company" not in keys  # it belongs to addresses


def test_sizes_are_those_of_real_orders() -> None:
    sizes = [len(shopify.body(order(lines))) for lines in (0, 1, 3, 10)]
    assert 4_500 < sizes[0] < 7_000
    for size, lines in zip(sizes[1:], (1, 3, 10), strict=True):
        assert 850 < (size - sizes[0]) / lines < 1_250


def test_slashes_are_escaped_so_that_reserialising_breaks_the_signature() -> None:
    content = shopify.body(order())
    assert b"gid:\\/\\/shopify\\/Order\\/" in content
    assert b"/" not in content.replace(b"\\/", b"")
    again = json.dumps(json.loads(content), separators=(",", ":"), ensure_ascii=False).encode()
    assert sign("secret", again, "", 0) != sign("secret", content, "", 0)


def test_money_is_text_and_the_id_survives_as_an_integer() -> None:
    body = json.loads(shopify.body(order(2)))
    assert body["id"] == 910_000_010_000_000_001 > 2**53
    assert body["total_price"] == "79.80"
    assert body["line_items"][0]["price"] == "19.95"
    assert body["total_price_set"]["shop_money"] == {"amount": "79.80", "currency_code": "USD"}
    assert [(item["sku"], item["quantity"]) for item in body["line_items"]] == [
        ("ONCE-001", 2), ("ONCE-002", 2),
    ]  # fmt: skip


def test_no_id_in_a_body_is_that_of_another_order_or_of_another_thing() -> None:
    plans = [
        plan_orders(seed=1, orders=60, per_second=10, copies=1, distinct_ids=True,
                    worker=worker, workers=2) for worker in range(2)
    ]  # fmt: skip
    seen: set[int] = set()
    for planned in itertools.chain(*plans):
        text = shopify.body(planned).decode()
        assert {key for key in KEY.findall(text) if key.isdigit()} == {str(planned.order_id)}
        body = json.loads(text)
        own = [body["id"], body["checkout_id"], body["customer"]["id"], body["order_number"]]
        own += [
            body["customer"]["default_address"]["id"],
            *(one["id"] for one in body["line_items"]),
        ]
        assert len(own) == len(set(own)) and not seen & set(own)
        assert max(own) < 2**63
        seen |= set(own)


def test_paid_and_create_differ_in_what_they_say_of_the_money() -> None:
    assert json.loads(shopify.body(order()))["financial_status"] == "paid"
    created = json.loads(shopify.body(order(), "orders/create"))
    assert created["financial_status"] == "pending"
    assert created["total_outstanding"] == created["total_price"]


def test_the_signature_is_the_hmac_of_the_raw_body() -> None:
    content = shopify.body(order())
    assert base64.b64decode(sign("secret", content, "", 0)) == hmac_by_hand(b"secret", content)


def test_the_headers_are_shopifys() -> None:
    headers = headers_of(order(), "webhook", "orders/paid", 0)
    assert headers["X-Shopify-Webhook-Id"] == "webhook"
    assert headers["X-Shopify-Event-Id"] == order().event_id
    assert headers["X-Shopify-Topic"] == "orders/paid"
    assert headers["X-Shopify-Shop-Domain"] == SHOP
    assert headers["X-Shopify-API-Version"] == "2026-10"
    assert headers["User-Agent"] == "Shopify-Captain-Hook"
    assert "X-Shopify-Triggered-At" in headers


def test_eight_retries_double_from_56_seconds_to_four_hours() -> None:
    delays = shopify.retry_delays(1.0)
    assert len(delays) == 8
    assert delays[0] == pytest.approx(56, abs=1)
    assert sum(delays) == pytest.approx(4 * 3600)
    assert all(after == 2 * before for before, after in itertools.pairwise(delays))
    assert sum(shopify.retry_delays(1 / 600)) == pytest.approx(24)
