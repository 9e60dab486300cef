"""The database is gone for three seconds, and then every failed delivery comes back at once.

The senders' retries are in step with each other, and new orders arrive as before: the backlog meets
a service that has only just recovered.
"""

from scenarios import DbCrash, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="A short outage, and then all retries at once",
    traffic=Traffic(orders=500, per_second=60, users=1_000),
    faults=[DbCrash(times=1, down_seconds=3.0)],
    settle_seconds=60,
    needs=Thresholds(lateness_p99_ms=1_000),
)
