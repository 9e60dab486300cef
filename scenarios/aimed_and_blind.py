"""Thirty crashes at each of two points around COMMIT, beside as many ends of each common kind.

Chaos tools delete a pod or kill a process at a random time, and hope that a transaction is open
then; a careful one asks Postgres first. The same load and the same proof here show how often that
hope comes true, and that an aimed kill needs none. `insert_first` has one statement, and a hit of
it by chance is never counted: `--strategy for_update` has a transaction of several, and is fairer.
So is the rest to those without an aim: each aimed one holds rows that others wait for.
"""

from scenarios import (
    Blind,
    Burst,
    Crash,
    Graceful,
    InTransaction,
    Polled,
    Scenario,
    Thresholds,
    Traffic,
)

scenario = Scenario(
    title="Aimed crashes around COMMIT beside blind and polled ones under the same load",
    replicas=6,
    traffic=Traffic(orders=3_000, per_second=20, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=30),
        Crash(at=InTransaction("reply-lost"), times=30),
        Crash(at=Polled(), times=30),
        Crash(at=Blind(), times=30),
        Graceful(times=30),
    ],
    fault_every_seconds=1.0,  # faster, and at times nobody would be left to answer
    stretch_ms=3.0,  # longer transactions are easier to hit, for all of them
    needs=Thresholds(lost_acknowledgements=20),
)
