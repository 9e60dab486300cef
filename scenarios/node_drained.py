"""A node is drained under load, as before its upgrade: all replicas on it go, and none comes.

Their successors find room on the other nodes. Nothing may be lost, whichever replicas they were.
"""

from scenarios import Drain, Scenario, Traffic

scenario = Scenario(
    title="A node is drained while every webhook arrives twice",
    replicas=4,  # two of them on a node of two
    traffic=Traffic(orders=1_200, per_second=25),
    faults=[Drain()],
    settle_seconds=60.0,
)
