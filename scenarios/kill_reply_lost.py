"""Replicas die after their COMMIT was done, but before they heard so; every webhook arrives twice.

The work is durable and nobody knows. The sender delivers again, and that delivery must change
nothing: neither a second shipment nor an answer that makes the sender give up.
"""

from scenarios import Burst, Crash, InTransaction, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="Replicas crash before they hear of their COMMIT while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=50, duplicates=Burst(copies=2, ids="distinct")),
    faults=[Crash(at=InTransaction("reply-lost"), times=8)],
    stretch_ms=3.0,
    needs=Thresholds(lost_acknowledgements=1),
)
