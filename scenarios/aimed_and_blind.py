"""Twenty crashes at each point around COMMIT, beside as many at no point at all.

Chaos tools kill at a random time and hope that a transaction is open then. The same load, the same
signal and the same proof here show how often that hope comes true, and that an aimed kill needs
none.
"""

from scenarios import Blind, Burst, Crash, InTransaction, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="Aimed crashes around COMMIT beside blind ones under the same load",
    replicas=5,
    traffic=Traffic(orders=3_600, per_second=40, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=20),
        Crash(at=InTransaction("commit-after-death"), times=20),
        Crash(at=InTransaction("reply-lost"), times=20),
        Crash(at=Blind(), times=20),
    ],
    fault_every_seconds=1.0,  # faster, and at times nobody would be left to answer
    needs=Thresholds(lost_acknowledgements=20),
)
