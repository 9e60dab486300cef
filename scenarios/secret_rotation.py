"""Shopify begins to sign with the next secret in the middle of the traffic.

For up to an hour deliveries with either signature may come: a service that knows one secret only
refuses a part of its orders for good.
"""

from scenarios import Scenario, Traffic

scenario = Scenario(
    title="The shared secret is rotated under load",
    traffic=Traffic(orders=300, rotate_after=150),
)
