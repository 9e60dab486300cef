"""The service is scaled up and down again under load, as an autoscaler does it.

A new replica must not be sent anything before it can answer, and one that is taken away must finish
what it has: which one goes is the cluster's choice.
"""

from scenarios import Scale, Scenario, Traffic

scenario = Scenario(
    title="From 3 to 6 replicas and back while every webhook arrives twice",
    traffic=Traffic(orders=1_200, per_second=25),
    faults=[Scale(to=6, lasting_seconds=8.0)],
    settle_seconds=60.0,
)
