"""Every step towards the database takes 50 ms for a while: each race window is as much wider.

What was a rare accident on a fast network is the rule now. Nothing fails; time alone decides.
"""

from scenarios import DbLatency, Scenario, Traffic

scenario = Scenario(
    title="The way to the database is slow for three seconds, twice",
    traffic=Traffic(orders=400, per_second=40, users=300),
    faults=[DbLatency(times=2, delay_ms=50, seconds=3)],
    fault_every_seconds=5.0,
)
