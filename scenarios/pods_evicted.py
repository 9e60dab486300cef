"""Pods are evicted under load, as by an autoscaler of nodes; the disruption budget is respected.

Nothing crashes. An eviction ends a pod as a rollout does, but at a moment that nobody of the team
has chosen. A service that drains loses no delivery by it.
"""

from scenarios import Evict, Scenario, Traffic

scenario = Scenario(
    title="Pods are evicted one after the other while every webhook arrives twice",
    traffic=Traffic(orders=1_200, per_second=25),
    faults=[Evict(times=3)],
    settle_seconds=60.0,
)
