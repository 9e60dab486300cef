"""Shopify's side of the wire: the order's body and the retry rules.

The body has the 94 top-level keys of a real `orders/paid`: about 6 KB, and 1 KB more for each line
item; slashes are escaped and money is a string, so that a service which signs a re-serialised body
is found out (`signatures.shopify` signs it).
Shopify retries 8 times over 4 hours; the spacing is not published, a doubling one that fits the
documented ends is used here (56 s first, 4 hours in all), scaled to test time.
"""

import json
from typing import Any

from loadtests.traffic import ORDER_ID_STEP, PlannedOrder
from results.records import Line

CONNECT_SECONDS, TOTAL_SECONDS = 1.0, 5.0
RETRIES = 8
FIRST_RETRY_SECONDS = 4 * 3600 / (2**RETRIES - 1)
PRICE_CENTS = 1995
# The first digit of the ids of everything but orders: 16 digits, below 2^53, unlike an order's.
CHECKOUT, CUSTOMER, ADDRESS, LINE_ITEM, PRODUCT, VARIANT = range(1, 7)
WHEN = "2026-11-23T18:00:27-05:00"
NULLS = [
    "app_id",
    "browser_ip",
    "cancel_reason",
    "cancelled_at",
    "cart_token",
    "client_details",
    "closed_at",
    "customer_locale",
    "device_id",
    "fulfillment_status",
    "landing_site",
    "landing_site_ref",
    "location_id",
    "merchant_business_entity_id",
    "merchant_of_record_app_id",
    "note",
    "order_status_url",
    "payment_terms",
    "phone",
    "po_number",
    "reference",
    "referring_site",
    "source_identifier",
    "source_url",
    "user_id",
    "current_total_additional_fees_set",
    "original_total_additional_fees_set",
    "current_total_duties_set",
    "original_total_duties_set",
    "confirmation_number",
]
LISTS = [
    "discount_applications",
    "discount_codes",
    "fulfillments",
    "line_item_groups",
    "note_attributes",
    "refunds",
    "returns",
    "tax_lines",
    "shipping_lines",
]
MONEY = [
    "current_shipping_price",
    "current_subtotal_price",
    "current_total_discounts",
    "current_total_price",
    "current_total_tax",
    "subtotal_price",
    "total_discounts",
    "total_line_items_price",
    "total_price",
    "total_shipping_price",
    "total_tax",
    "total_cash_rounding_payment_adjustment",
    "total_cash_rounding_refund_adjustment",
]


def retry_delays(time_scale: float) -> tuple[float, ...]:
    """Seconds before each of the 8 retries, scaled from Shopify's 4 hours."""
    return tuple(FIRST_RETRY_SECONDS * 2**number * time_scale for number in range(RETRIES))


def body(order: PlannedOrder, topic: str = "orders/paid") -> bytes:
    """The order as Shopify serialises it for a topic, with escaped slashes."""
    fields = payload(order, paid=topic == "orders/paid")
    if topic == "orders/cancelled":
        fields |= {"cancelled_at": WHEN, "cancel_reason": "customer", "financial_status": "voided"}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return text.replace("/", "\\/").encode()


def related_id(kind: int, number: int, at: int = 0) -> int:
    """An id of one of the kinds above for an order or a product, unlike that of any other."""
    if kind not in (PRODUCT, VARIANT):
        number = number // ORDER_ID_STEP % 10**13
    return kind * 10**15 + number * 100 + at


def payload(order: PlannedOrder, *, paid: bool) -> dict[str, Any]:
    """The 94 top-level keys."""
    cents = sum(line.quantity for line in order.lines) * PRICE_CENTS
    number = order.order_id // ORDER_ID_STEP % 10**9
    address = postal_address()
    fields: dict[str, Any] = {
        "id": order.order_id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order.order_id}",
        "billing_address": address,
        "buyer_accepts_marketing": False,
        "checkout_id": related_id(CHECKOUT, order.order_id),
        "checkout_token": order.event_id.replace("-", ""),
        "confirmed": True,
        "contact_email": "buyer@example.com",
        "created_at": WHEN,
        "currency": "USD",
        "customer": customer(order.order_id, address),
        "duties_included": False,
        "email": "buyer@example.com",
        "estimated_taxes": False,
        "financial_status": "paid" if paid else "pending",
        "line_items": [line_item(order.order_id, line, at) for at, line in enumerate(order.lines)],
        "name": f"#{number + 1000}",
        "number": number,
        "order_number": number + 1000,
        "payment_gateway_names": ["shopify_payments"],
        "presentment_currency": "USD",
        "processed_at": WHEN,
        "shipping_address": address,
        "source_name": "web",
        "tags": "",
        "tax_exempt": False,
        "taxes_included": False,
        "test": False,
        "token": order.event_id.replace("-", "")[::-1],
        "total_outstanding": "0.00" if paid else money(cents),
        "total_tip_received": "0.00",
        "total_weight": 250 * len(order.lines),
        "updated_at": WHEN,
        **dict.fromkeys(NULLS),
        **{name: [] for name in LISTS},
    }
    for name in MONEY:
        amount = money(cents if name.endswith("price") and "shipping" not in name else 0)
        if not name.startswith(("total_cash", "total_shipping", "current_shipping")):
            fields[name] = amount
        fields[f"{name}_set"] = money_set(amount)
    return dict(sorted(fields.items()))


def money(cents: int) -> str:
    """Money is a decimal string in every Shopify payload."""
    return f"{cents // 100}.{cents % 100:02d}"


def money_set(amount: str) -> dict[str, Any]:
    """One amount in the shop's and in the buyer's currency."""
    value = {"amount": amount, "currency_code": "USD"}
    return {"shop_money": value, "presentment_money": value}


def line_item(order_id: int, line: Line, at: int) -> dict[str, Any]:
    """One line item, about 1 KB."""
    identity, product = related_id(LINE_ITEM, order_id, at), int(line.sku.rpartition("-")[2])
    price = money(PRICE_CENTS)
    return {
        "id": identity,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{identity}",
        "attributed_staffs": [],
        "current_quantity": line.quantity,
        "discount_allocations": [],
        "duties": [],
        "fulfillable_quantity": line.quantity,
        "fulfillment_service": "manual",
        "fulfillment_status": None,
        "gift_card": False,
        "grams": 250,
        "name": f"Café mug, hand-made · {line.sku}",
        "pre_tax_price": price,
        "pre_tax_price_set": money_set(price),
        "price": price,
        "price_set": money_set(price),
        "product_exists": True,
        "product_id": related_id(PRODUCT, product),
        "properties": [],
        "quantity": line.quantity,
        "requires_shipping": True,
        "sku": line.sku,
        "tax_lines": [{"channel_liable": False, "price": "0.00", "rate": 0.0, "title": "Tax"}],
        "taxable": True,
        "title": "Café mug, hand-made",
        "total_discount": "0.00",
        "total_discount_set": money_set("0.00"),
        "variant_id": related_id(VARIANT, product),
        "variant_inventory_management": "shopify",
        "variant_title": line.sku,
        "vendor": "onceproof",
    }


def postal_address() -> dict[str, Any]:
    """One address, the same for everybody."""
    return {
        "first_name": "Zoë", "last_name": "Buyer", "address1": "123 Billing Street",
        "address2": "", "phone": "555-555-0100", "city": "Billtown", "zip": "K2P0B0",
        "province": "Kentucky", "country": "United States", "company": "",
        "latitude": 37.0, "longitude": -84.0, "name": "Zoë Buyer", "country_code": "US",
        "province_code": "KY",
    }  # fmt: skip


def customer(order_id: int, address: dict[str, Any]) -> dict[str, Any]:
    """The buyer."""
    identity = related_id(CUSTOMER, order_id)
    return {
        "id": identity, "created_at": WHEN, "updated_at": WHEN, "state": "disabled",
        "first_name": "Zoë", "last_name": "Buyer", "note": None, "verified_email": True,
        "multipass_identifier": None, "tax_exempt": False, "email": "buyer@example.com",
        "phone": None, "currency": "USD", "tax_exemptions": [],
        "admin_graphql_api_id": f"gid://shopify/Customer/{identity}",
        "default_address": {"id": related_id(ADDRESS, order_id), "default": True, **address},
    }  # fmt: skip
