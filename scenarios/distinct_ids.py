"""Every paid order is announced twice at the same instant, under two webhook ids.

Shopify documents this: an app with two subscriptions for one topic receives one delivery for each,
with different ids. A handler that remembers webhook ids has never seen either of them.
"""

from scenarios import Burst, Scenario, Traffic

scenario = Scenario(
    title="Every webhook arrives twice at once under two ids",
    traffic=Traffic(orders=300, duplicates=Burst(copies=2, ids="distinct")),
)
