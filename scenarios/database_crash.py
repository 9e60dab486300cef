"""The database loses its power twice, and comes back from its log.

What was answered must be there afterwards, what was not may be. Every open transaction is gone,
every connection is dead, and the first statement on each pooled one fails.
"""

from scenarios import DbCrash, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="The database crashes twice while every webhook arrives twice",
    # Retries come within 72 seconds: faster ones keep a small cluster from recovering.
    traffic=Traffic(orders=600, per_second=15, users=800, retry_time_scale=1 / 200),
    faults=[DbCrash(times=2)],
    fault_every_seconds=4.0,
    needs=Thresholds(lateness_p99_ms=1_000),  # its retries load the generator, too
)
