"""The service is rolled out anew under load: every pod is replaced, new ones first.

This is what each deployment of a new version does. 0 deliveries may be lost by it, and a service
whose readiness, draining and grace period fit together also fails none.
"""

from scenarios import Rollout, Scenario, Traffic

scenario = Scenario(
    title="All pods are replaced while every webhook arrives twice",
    traffic=Traffic(orders=1_500, per_second=25),
    faults=[Rollout()],
    settle_seconds=60.0,
)
