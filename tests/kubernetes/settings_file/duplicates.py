"""Every order is announced under two ids, to a service that is right where the order has a row."""

from results.records import Thresholds
from scenarios import Scenario, Traffic

scenario = Scenario(
    title="A shop that reads its database from a file, while every webhook arrives twice",
    replicas=2,
    traffic=Traffic(orders=150, per_second=15),
    needs=Thresholds(overlapping_groups=10, lateness_p99_ms=None),
)
