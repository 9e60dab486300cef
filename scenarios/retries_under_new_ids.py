"""Sessions are cut, and each retry comes under a new webhook id.

Whether Shopify keeps the id of a retry is disputed in public. A key made from it survives one of
the two answers only; a key made from the order survives both.
"""

from scenarios import DbDisconnect, Mix, Scenario, Traffic

scenario = Scenario(
    title="Retries come under new webhook ids",
    traffic=Traffic(orders=400, per_second=60, mix=Mix(rotate_ids=True)),
    faults=[DbDisconnect(times=6)],
    stretch_ms=2.0,
)
