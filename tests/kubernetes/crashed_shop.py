"""Every order is announced under two ids, and replicas die in the middle of their transactions."""

from results.records import Thresholds
from scenarios import Crash, InTransaction, Scenario, Traffic

scenario = Scenario(
    title="A shop's own replicas crash while every webhook arrives twice",
    replicas=2,
    traffic=Traffic(orders=150, per_second=15, create="never"),
    faults=[Crash(at=InTransaction("commit-dropped"), times=2)],
    needs=Thresholds(overlapping_groups=20),
)
