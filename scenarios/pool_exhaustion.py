"""Deliveries come faster than a slow database lets them go: every pool runs dry.

A handler that waits for a connection longer than the sender waits for it goes on after nobody
listens; its work and the retry's meet. Refusing early is right, doing it twice is not.
"""

from scenarios import DbLatency, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="Every connection pool runs dry while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=80, users=1_000),
    faults=[DbLatency(times=1, delay_ms=400, seconds=4)],
    settle_seconds=60,
    needs=Thresholds(lateness_p99_ms=1_000),
)
