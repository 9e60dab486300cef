"""The relay dies between its call of the provider and its note of it, five times.

The shipment was made and the row still says "unsent": its successor calls again. With a provider
that honours keys that is the same shipment.
"""

from scenarios import Crash, InTransaction, Scenario, Traffic

scenario = Scenario(
    title="The relay crashes after its call and before its note of it",
    traffic=Traffic(orders=400, per_second=40),
    faults=[Crash(at=InTransaction("commit-dropped"), times=5, role="relay")],
)
