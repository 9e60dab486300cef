"""A runner that is killed by SIGKILL at the n-th record of its journal: before it, or after it.

Before: what the record tells of has been done (a child runs), and nobody wrote it down. After: it
was written down, and nothing came of it any more.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from cluster.journal import Journal, JournalRecord
from results.records import Thresholds
from scenarios import Crash, InTransaction, Oom, Scenario, Traffic
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import RunPlan
from scenarios.engine.runner import run

POINT = InTransaction("reply-lost")
FAULTS = {"crash": Crash(at=POINT, times=1), "oom": Oom(at=POINT, times=1)}


def kill_at(step: int, when: str) -> None:
    """From now on, end this process at that record of its journal."""
    append, seen = Journal.append, 0

    def killing(self: Journal, record: JournalRecord) -> None:
        nonlocal seen
        seen += 1
        if seen == step and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, record)
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = killing  # type: ignore[method-assign]


def main(runs: Path, step: int, when: str, kind: str) -> None:
    """Run with one fault of this kind; `step` beyond the journal's end lets it finish."""
    kill_at(step, when)
    scenario = Scenario(
        title="One fault, and then the runner", replicas=2, faults=[FAULTS[kind]],
        traffic=Traffic(orders=60, per_second=30),
        needs=Thresholds(overlapping_groups=0, lateness_p99_ms=None),
    )  # fmt: skip
    plan = RunPlan(
        name="killed", scenario=scenario, config=load_config(OWN_CONFIG), strategy="insert_first",
        provider="honours", seed=5, runs=runs,
    )  # fmt: skip
    asyncio.run(run(plan, lambda _: None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
