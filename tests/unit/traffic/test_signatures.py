"""Each scheme against vectors that others published, and the templates of bodies."""

import base64
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from loadtests.dialect import CREATE, PAID, Dialect
from loadtests.signatures import SCHEMES, scheme_named
from loadtests.traffic import PlannedOrder, plan_orders

# The event of the tests of Stripe's own .NET library (event_test_signature.json).
STRIPE_EVENT = {
    "id": "evt_123", "object": "event", "account": "acct_123", "api_version": "2017-05-25",
    "created": 1533204620,
    "data": {
        "object": {
            "id": "ii_123", "object": "invoiceitem", "amount": 1000, "currency": "usd",
            "customer": "cus_123", "date": 1533204620, "description": "Test Invoice Item",
            "discountable": False, "invoice": "in_123", "livemode": False, "metadata": {},
            "period": {"start": 1533204620, "end": 1533204620}, "plan": None, "proration": False,
            "quantity": None, "subscription": None,
        }
    },
    "livemode": False, "pending_webhooks": 1,
    "request": {"id": "req_123", "idempotency_key": "idempotency-key-123"},
    "type": "invoiceitem.created",
}  # fmt: skip

VECTORS = {
    "stripe": (
        "webhook_secret", json.dumps(STRIPE_EVENT, indent=2).encode() + b"\n", "", 1533204620,
        "t=1533204620,v1=f0bdba6d4eacbd8ad8a3bbadd7248e633ec1477f7899c124c51b39405fa36613",
    ),
    "github": (  # docs.github.com, "Validating webhook deliveries"
        "It's a Secret to Everybody", b"Hello, World!", "", 0,
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    ),
    "standard-webhooks": (  # the test of its reference libraries
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}',
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    "shopify": (  # RFC 4231, test case 2; Shopify has none
        "Jefe", b"what do ya want for nothing?", "", 0,
        base64.b64encode(bytes.fromhex(
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")).decode(),
    ),
}  # fmt: skip


@pytest.fixture
def order() -> PlannedOrder:
    return next(plan_orders(seed=3, orders=1, per_second=1, copies=2, distinct_ids=True))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_published_vector_comes_out(name: str) -> None:
    secret, body, webhook_id, at_seconds, expected = VECTORS[name]
    assert scheme_named(name).sign(secret, body, webhook_id, at_seconds) == expected


@pytest.mark.parametrize("name", SCHEMES)
def test_a_delivery_carries_the_signature_of_its_own_bytes(name: str, order: PlannedOrder) -> None:
    dialect, secret = Dialect.read(name, {}), "ab" * 16
    content = dialect.body(order, PAID, "an-id")
    headers = dialect.headers(order, "an-id", PAID, secret, content)
    given = headers[dialect.scheme.header]
    at_seconds = int(
        headers.get("webhook-timestamp") or given.partition("=")[2].partition(",")[0]
        if name in ("stripe", "standard-webhooks")
        else 0
    )
    assert given == dialect.scheme.sign(secret, content, "an-id", at_seconds)
    assert given != dialect.scheme.sign(secret, content + b" ", "an-id", at_seconds)
    assert given != dialect.scheme.sign("cd" * 16, content, "an-id", at_seconds)


def test_a_secret_that_is_no_base64_is_no_key() -> None:
    with pytest.raises(ValueError, match="base64"):
        scheme_named("standard-webhooks").sign("not a secret", b"", "", 0)


def test_a_scheme_that_is_none_is_told_what_there_is() -> None:
    with pytest.raises(ValueError, match="shopify, stripe, github, standard-webhooks"):
        scheme_named("paypal")


def test_a_template_is_filled_in_for_each_webhook(tmp_path: Path, order: PlannedOrder) -> None:
    file = tmp_path / "paid.json"
    file.write_text(
        '{"id": "evt_{{ webhook_id }}", "api_version": "2025-03-31", "amount": {{ amount_cents }},'
        ' "order": {{ order_id }}, "lines": {{ lines | tojson }}}\n'
    )
    dialect = Dialect.read("stripe", {PAID: file})
    first, second = (json.loads(content) for content in dialect.bodies(order))
    assert first["id"] == f"evt_{order.webhooks[0].webhook_id}" != second["id"]
    assert first["order"] == second["order"] == order.order_id
    assert first["lines"] == [{"sku": one.sku, "quantity": one.quantity} for one in order.lines]
    assert first["amount"] == 1995 * sum(one.quantity for one in order.lines)
    assert dialect.body(order, PAID, "same") == dialect.body(order, PAID, "same")
    assert json.loads(dialect.body(order, CREATE, "x"))["id"] == order.order_id  # Shopify's


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": {{ ordre_id }}}', "'ordre_id' is undefined. It knows order_id"),
        ('{\n"id": {{ order_id }\n}', "line 2"),
        ('{"id": {{ shop }}}', "no JSON"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_be_used_is_told_before_anything_is_sent(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "paid.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        Dialect.read("shopify", {PAID: file})
    assert str(file) in str(caught.value)


def test_ids_survive_a_language_whose_numbers_are_doubles(order: PlannedOrder) -> None:
    for seed in (0, 1, 4_711, 9_999):
        for one in plan_orders(seed=seed, orders=50, per_second=1, copies=1, distinct_ids=True):
            # As JavaScript reads and shows a number: a double, in its shortest form.
            assert int(Decimal(repr(float(one.order_id)))) == one.order_id
    body = json.loads(Dialect.read("shopify", {}).body(order, PAID, ""))
    others = [body["checkout_id"], body["customer"]["id"]]
    others += [line[key] for line in body["line_items"] for key in ("id", "product_id")]
    assert all(number < 2**53 for number in others)


@pytest.mark.parametrize(("name", "times"), [("shopify", 2), ("github", 2), ("stripe", 3),
                                             ("standard-webhooks", 4)])  # fmt: skip
def test_what_is_signed_alike_is_signed_once(
    name: str, times: int, order: PlannedOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, made = [1_000.0], []
    monkeypatch.setattr("loadtests.dialect.time.time", lambda: now[0])
    found = scheme_named(name)

    def counted(secret: str, body: bytes, webhook_id: str, at_seconds: int) -> str:
        made.append(webhook_id)
        return found.sign(secret, body, webhook_id, at_seconds)

    secret = VECTORS[name][0]
    dialect = Dialect(replace(found, sign=counted))
    content = dialect.body(order, PAID, "")
    first, second = (webhook.webhook_id for webhook in order.webhooks)
    another = "d2hzZWM="  # a secret of any scheme
    asked = [(first, secret, 1_000), (second, secret, 1_000), (second, secret, 1_001),
             (second, another, 1_001)]  # fmt: skip
    for webhook_id, key, at_seconds in asked:
        now[0] = float(at_seconds)
        headers = dialect.headers(order, webhook_id, PAID, key, content)
        assert headers[found.header] == found.sign(key, content, webhook_id, at_seconds)
    assert len(made) == times
