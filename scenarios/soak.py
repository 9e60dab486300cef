"""An hour of duplicates at a fixed rate, with a crash inside a transaction every 20 seconds.

What leaks (memory, files, connections, disk) does so slowly: see `charts/resources.png` of the run.
"""

from scenarios import Burst, Crash, InTransaction, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="An hour at a fixed rate, with a crash every 20 seconds",
    traffic=Traffic(orders=28_800, per_second=8, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=60),
        Crash(at=InTransaction("reply-lost"), times=60),
        Crash(at=InTransaction("commit-after-death"), times=60),
    ],
    fault_every_seconds=20.0,
    stretch_ms=1.0,
    settle_seconds=120.0,
    needs=Thresholds(lost_acknowledgements=60),
)
