"""Two rollouts in a row: every replica ends gracefully, one after the other, under load.

Nothing crashes here. A service that drains loses no delivery; one that does not drops what is in
flight, and its senders deliver again to somebody else.
"""

from scenarios import RollingRestart, Scenario, Traffic

scenario = Scenario(
    title="Two rolling restarts while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=50),
    faults=[RollingRestart(times=2)],
)
