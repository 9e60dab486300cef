"""Two shops announce orders with the same id at the same instant.

A key that forgets the shop takes the second shop's order for a duplicate of the first one's, and
its buyer waits for ever.
"""

from scenarios import Mix, Scenario, Traffic

scenario = Scenario(
    title="Two shops use the same order ids",
    traffic=Traffic(orders=400, mix=Mix(two_shops=True)),
)
