"""A node loses its power with the replicas on it, and comes back a minute later.

Nobody says goodbye: what was in flight there is answered by nobody, the cluster sends deliveries
into the dark until it has noticed, and transactions of the dead may stay open with their locks.
"""

from scenarios import NodeDown, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="A node goes down with its replicas while every webhook arrives twice",
    replicas=4,  # two of them on a node of two
    traffic=Traffic(orders=1_500, per_second=20, users=600),
    faults=[NodeDown()],
    settle_seconds=120.0,
    needs=Thresholds(shed_orders=1_500),  # senders wait for a node that answers nobody
)
