"""The runner is killed at steps of its journal; `heal` gives the cluster back as it was.

Every step takes more than half an hour: `make nightly-kubernetes`. Here are those that leave most:
a namespace that was just made, and a node that takes no pods while its replicas are evicted.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.heal import heal
from cluster.journal import read_journal
from results.footprint import Changed, Deployed, Spawned
from results.records import FaultRecord, Stage
from results.run_folder import RunFolder
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.standing_objects import cordons, standing

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("killed_runner.py")
STEPS = 23
MADE, CORDONED = 1, 13  # the namespace; the node, before it is written that its pods have gone
NIGHTLY = bool(os.environ.get("ONCEPROOF_NIGHTLY"))
EVERY = [(step, when) for step in range(1, STEPS + 1) for when in ("before", "after")]
SAMPLE = [(MADE, "after"), (CORDONED, "before")]
KILLED_SECONDS = 240


@pytest.fixture(scope="module")
def neighbour(cluster: Cluster, image: str) -> Cluster:
    """A namespace that holds something of somebody else's."""
    container = {"name": "app", "image": image, "command": ["sleep", "3600"], "env": [
        {"name": "DATABASE_URL", "value": "postgresql://theirs"}]}  # fmt: skip
    labels = {"app": "theirs"}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "theirs", "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    }  # fmt: skip
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(deployment))
    cluster.kubectl("create", "configmap", "theirs", "--from-literal=key=value")
    return cluster


def run_killed(runs: Path, namespace: str, image: str, step: int, when: str) -> int:
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(runs), namespace, image, str(step), when], cwd=ROOT,
        timeout=KILLED_SECONDS, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    sys.stdout.write(done.stdout + done.stderr)  # shown if the test fails
    return done.returncode


@pytest.mark.timeout(2 * KILLED_SECONDS)
@pytest.mark.parametrize(("step", "when"), EVERY if NIGHTLY else SAMPLE)
def test_heal_gives_the_cluster_back_as_it_was(
    neighbour: Cluster, image: str, tmp_path: Path, step: int, when: str
) -> None:
    before = standing(neighbour), cordons()

    assert run_killed(tmp_path, neighbour.namespace, image, step, when) == -9
    report = asyncio.run(heal(tmp_path, run=None))

    assert report.healed, report
    assert (standing(neighbour), cordons()) == before
    assert RunFolder.find(tmp_path).read_manifest().status == "interrupted"
    again = asyncio.run(heal(tmp_path, run=None))
    assert (again.removed, again.wrong) == ([], [])


def test_heal_removes_a_namespace_that_the_run_had_made(image: str, tmp_path: Path) -> None:
    name = f"onceproof-killed-{secrets.token_hex(3)}"
    assert run_killed(tmp_path, name, image, 2, "before") == -9  # all but the service is up

    report = asyncio.run(heal(tmp_path, run=None))

    assert report.healed, report
    assert Cluster().kubectl("get", "namespace", name, "--ignore-not-found") == ""


@pytest.mark.skipif(not NIGHTLY, reason="NOT TRIED: every step is for make nightly-kubernetes")
@pytest.mark.timeout(2 * KILLED_SECONDS)
def test_the_steps_above_are_all_there_are(neighbour: Cluster, image: str, tmp_path: Path) -> None:
    before = standing(neighbour), cordons()

    assert run_killed(tmp_path, neighbour.namespace, image, STEPS + 1, "before") == 0

    assert (standing(neighbour), cordons()) == before
    records = read_journal(RunFolder.find(tmp_path).journal)
    assert len(records) == STEPS
    assert isinstance(records[MADE - 1], Deployed)
    assert isinstance(records[1], Spawned)
    assert [one.what for one in records if isinstance(one, Changed)] == ["scaled", "cordoned"]
    evicted = records[CORDONED - 1]
    assert isinstance(evicted, FaultRecord)
    assert (evicted.kind, evicted.stage) == ("drain", Stage.INJECT)
