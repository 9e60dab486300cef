"""The database ends the sessions of one replica after another, as a failover or an operator does.

A handler sees an error in the middle of whatever it did. It must not answer "done" for work that
was rolled back, nor leave a half of it behind; the sender comes again.
"""

from scenarios import DbDisconnect, Scenario, Traffic

scenario = Scenario(
    title="The database cuts the sessions of one replica after another",
    traffic=Traffic(orders=500, per_second=60),
    faults=[DbDisconnect(times=6)],
    stretch_ms=2.0,
)
