"""One replica's clock is an hour ahead, another's an hour behind, while every webhook comes twice.

Leases, expiries and timestamps that a service takes from its own clock are wrong then: a lease is
over before it began, a row is due in an hour, the older write wins. What takes its time from the
database notices nothing.
"""

from scenarios import Burst, ClockSkew, Scenario, Traffic

scenario = Scenario(
    title="Replicas disagree about the time while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=40, duplicates=Burst(copies=2, ids="distinct")),
    faults=[ClockSkew(seconds=3_600), ClockSkew(seconds=-3_600)],
)
