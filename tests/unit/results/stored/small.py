"""The scenario of the stored runs: few orders, and a crash at each point around a COMMIT."""

from scenarios import Burst, Crash, InTransaction, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="Few orders, and a crash at each point around a COMMIT",
    traffic=Traffic(orders=40, per_second=10, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=1),
        Crash(at=InTransaction("commit-after-death"), times=1),
        Crash(at=InTransaction("reply-lost"), times=1),
    ],
    needs=Thresholds(overlapping_groups=20, lost_acknowledgements=1, lateness_p99_ms=None),
)
