"""Pods are deleted by force: the cluster forgets them while their processes go on.

For a while there is one replica more than anybody knows of, which works off what it has, and its
successor answers beside it. Whoever counts on there being one worker of a kind is wrong then.
"""

from scenarios import GhostPod, Scenario, Traffic

scenario = Scenario(
    title="Pods are deleted by force and work on while every webhook arrives twice",
    traffic=Traffic(orders=1_200, per_second=25),
    faults=[GhostPod(times=3)],
    settle_seconds=60.0,
)
