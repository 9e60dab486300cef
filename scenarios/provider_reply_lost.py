"""The provider ships, and its answer is lost: for two seconds, and for two more it is a 500.

Nobody but the provider knows that the parcel is on its way. A relay must call again, and the call
must carry the key of the first one, or the buyer gets two.
"""

from scenarios import ProviderFault, Scenario, Traffic

scenario = Scenario(
    title="The provider ships and its answers are lost",
    traffic=Traffic(orders=400, per_second=50),
    faults=[ProviderFault(what="reply-lost"), ProviderFault(what="error")],
    fault_every_seconds=3.0,
)
