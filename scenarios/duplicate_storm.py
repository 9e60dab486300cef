"""Every paid order is announced twice at the same instant, under the same webhook id.

A sender that times out delivers again, and so does a load balancer that retries. The copies are
equal in every byte; a handler that first looks and then writes sees "not yet" in both.
"""

from scenarios import Burst, Scenario, Traffic

scenario = Scenario(
    title="Every webhook arrives twice at once under one id",
    traffic=Traffic(orders=300, duplicates=Burst(copies=2, ids="same")),
)
