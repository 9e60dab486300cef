"""A rush comes, an autoscaler makes more replicas on real CPU, and in the calm takes them away.

What a sale does every week. No replica may be sent anything before it can answer, and one that is
taken away must finish what it has: which one goes, and when, is the cluster's choice alone.
"""

from scenarios import Autoscale, Rush, Scenario, Traffic

scenario = Scenario(
    title="An autoscaler scales up in a rush and down after it while every webhook arrives twice",
    traffic=Traffic(orders=2_200, per_second=6, rush=Rush(seconds=75.0, per_second=25), users=200),
    faults=[Autoscale(most=6, cpu_percent=8)],  # of 200m; the rush costs twice that, the calm half
    settle_seconds=60.0,
)
