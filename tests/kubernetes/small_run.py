"""A few orders, each announced twice, for tests of how a run is carried out."""

from results.records import Thresholds
from scenarios import Crash, InTransaction, Scenario, Traffic

scenario = Scenario(
    title="A few orders",
    replicas=2,
    traffic=Traffic(orders=60, per_second=12),
    faults=[Crash(at=InTransaction("reply-lost"), times=1)],
    needs=Thresholds(overlapping_groups=5, lateness_p99_ms=None),
)
