"""A replica's machine loses its power inside a transaction, and Postgres does not hear of it.

No connection is closed: the session stays in its transaction with all its locks. Other replicas
wait behind them, their senders give up and come again, until somebody gives the session up.
"""

from scenarios import PowerLoss, Scenario, Traffic

scenario = Scenario(
    title="A replica's machine goes dark inside its transaction, twice",
    traffic=Traffic(orders=400, per_second=40, users=600),
    faults=[PowerLoss(times=2)],
    stretch_ms=3.0,
)
