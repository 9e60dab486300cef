"""Replicas die between their last write and their COMMIT, and every webhook arrives twice.

The database must roll back what the dead replica wrote, and nothing outside may have happened yet.
The sender has no answer and delivers again: that delivery has to do all of the work.
"""

from scenarios import Burst, Crash, InTransaction, Scenario, Traffic

scenario = Scenario(
    title="Replicas crash before their COMMIT is sent while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=50, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=5),
        Crash(at=InTransaction("commit-after-death"), times=5),
    ],
    stretch_ms=3.0,
)
