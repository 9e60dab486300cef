"""The relay dies between its call and its note of it, and the provider ignores idempotency keys.

No service can be exactly-once with such a provider: between the effect and the memory of it there
is always a moment. This scenario shows that moment; the cure is at the provider's.
"""

from scenarios import Crash, InTransaction, Scenario, Traffic

scenario = Scenario(
    title="The relay crashes after its call, and the provider ignores keys",
    traffic=Traffic(orders=400, per_second=40),
    faults=[Crash(at=InTransaction("commit-dropped"), times=5, role="relay")],
    provider="ignores",
)
