"""A runner on a cluster that is killed by SIGKILL at the n-th record of its journal.

Its faults leave behind, each in its way, what `heal` must undo: a replica that is held and crashed,
a Deployment that is scaled, a node that takes no pods.
"""

import asyncio
import sys
from pathlib import Path

from results.records import Thresholds
from scenarios import Crash, Drain, InTransaction, Scale, Scenario, Traffic
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import ClusterTarget, RunPlan
from scenarios.engine.runner import run
from tests.e2e.killed_runner import kill_at


def main(runs: Path, namespace: str, image: str, step: int, when: str) -> None:
    """Run to that record; `step` beyond the journal's end lets it finish."""
    kill_at(step, when)
    scenario = Scenario(
        title="Three faults, and then the runner", replicas=2,
        faults=[Crash(at=InTransaction("reply-lost"), times=1), Scale(to=3, lasting_seconds=1.0),
                Drain()],
        traffic=Traffic(orders=60, per_second=10),
        needs=Thresholds(overlapping_groups=0, lateness_p99_ms=None),
    )  # fmt: skip
    plan = RunPlan(
        name="killed", scenario=scenario, config=load_config(OWN_CONFIG), strategy="insert_first",
        provider="honours", seed=5, runs=runs,
        cluster=ClusterTarget(context=None, namespace=namespace, image=image),
    )  # fmt: skip
    asyncio.run(run(plan, lambda text: print(text, flush=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
