"""orders/paid comes, and orders/create never does: the order's row is not there.

Shopify promises no order between topics, so this is normal. A lock or an UPDATE needs a row to
hold on to; a handler built on one of them has nothing to decide by.
"""

from scenarios import Scenario, Traffic

scenario = Scenario(
    title="Every webhook arrives twice at once, for orders nobody knows yet",
    traffic=Traffic(orders=300, create="never"),
)
