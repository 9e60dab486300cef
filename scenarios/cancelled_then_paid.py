"""A third of the orders is cancelled before it is announced as paid.

Shopify promises no order between topics. A handler that sets "paid" without looking at what the
order was ships what the buyer has called off.
"""

from scenarios import Mix, Scenario, Traffic

scenario = Scenario(
    title="Orders are cancelled, and then announced as paid",
    traffic=Traffic(orders=300, mix=Mix(cancelled=0.33)),
)
