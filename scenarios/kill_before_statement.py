"""Replicas die before each statement of a handler in turn, and every webhook arrives twice.

A handler whose statements commit one by one leaves whatever it had done so far; the next delivery
finds a part of the work and must neither repeat it nor believe it complete.
"""

from scenarios import Burst, Crash, EachStatement, Scenario, Traffic

scenario = Scenario(
    title="Replicas crash before each statement in turn while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=50, duplicates=Burst(copies=2, ids="distinct")),
    faults=[Crash(at=EachStatement(), times=12)],
    stretch_ms=3.0,
)
