"""The runner is a Job: its folder comes back, its status is ours, and nothing of it stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.journal import read_journal
from cluster.kube.heal import left_behind
from results.run_folder import RunFolder
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.standing_objects import standing

HERE = Path(__file__).parent
RUN_SECONDS = 240
NIGHTLY = bool(os.environ.get("ONCEPROOF_NIGHTLY"))


def started(cluster: Cluster, image: str, runs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("onceproof")), "run", str(HERE / "small_run.py"),
         "--in-cluster", "--namespace", cluster.namespace, "--image", image, "--seed", "3",
         "--strategy", "insert_first", "--runs", str(runs), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.timeout(RUN_SECONDS)
def test_its_folder_and_its_status_come_back(cluster: Cluster, image: str, tmp_path: Path) -> None:
    before = standing(cluster)

    with started(cluster, image, tmp_path) as process:
        out, said = process.communicate(timeout=RUN_SECONDS)
    sys.stdout.write(out + said)  # shown if the test fails

    verdict = json.loads(out)
    assert process.returncode == {"valid": 0, "unknown": 2}[verdict["validity"]]
    folder = RunFolder.find(tmp_path)
    manifest = folder.read_manifest()
    assert (manifest.run_id, manifest.seed) == (folder.path.name, 3)
    assert manifest.environment["kubernetes"]["context"] == "in-cluster"
    assert len(list(folder.histories())) == 1
    assert folder.report.is_file()
    assert folder.wire.stat().st_size > 10_000
    assert left_behind(read_journal(folder.journal)) == []
    assert standing(cluster) == before


@pytest.mark.skipif(not NIGHTLY, reason="NOT TRIED: for make nightly-kubernetes")
@pytest.mark.timeout(RUN_SECONDS)
def test_an_interruption_cleans_up_in_the_cluster_too(
    cluster: Cluster, image: str, tmp_path: Path
) -> None:
    before = standing(cluster)

    with started(cluster, image, tmp_path) as process:
        deadline = time.monotonic() + RUN_SECONDS / 2
        while "Deployment payment-processor" not in standing(cluster):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=RUN_SECONDS / 2)
    sys.stdout.write(out + said)

    assert process.returncode == 130
    assert standing(cluster) == before
    assert left_behind(read_journal(RunFolder.find(tmp_path).journal)) == []
