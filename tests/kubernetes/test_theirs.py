"""A service that somebody deployed by hand is judged where it runs, and given back as it was.

It is the Express shop, without Python and without a shell: its database is reached through the
wire after one variable was changed, and its replicas are crashed by an ephemeral container.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.heal import heal
from cluster.journal import read_journal
from cluster.kube.theirs import BEFORE
from results.footprint import Changed, Restored
from results.records import FaultRecord, Stage
from results.run_folder import RunFolder
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pods import RESTRICTED
from tests.kubernetes.standing_objects import standing
from tests.kubernetes.test_crashes import express

__all__ = ["express"]  # the fixture
HERE = Path(__file__).parent
URL = "postgresql://shop:hunter2@their-database:5432/shop"  # nobody answers there
RUN_SECONDS = 240
NIGHTLY = bool(os.environ.get("ONCEPROOF_NIGHTLY"))


@pytest.fixture(scope="module")
def shop(cluster: Cluster, express: str) -> Iterator[Cluster]:
    """Two replicas of the shop, its Service and its Secret, by kubectl."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"},
              "stringData": {"webhooks": "a-secret-of-theirs", "url": URL}}  # fmt: skip
    env = [
        {"name": "SHOPIFY_SHARED_SECRET",
         "valueFrom": {"secretKeyRef": {"name": "shop", "key": "webhooks"}}},
        {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "url"}}},
        {"name": "FULFILLMENT_URL", "value": "http://witness:8080/shipments"},
    ]  # fmt: skip
    container = {
        "name": "web", "image": express, "imagePullPolicy": "Never", "env": env,
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 3000}, "periodSeconds": 1},
    }  # fmt: skip
    labels = {"app": "shop"}
    spec = {"terminationGracePeriodSeconds": 2, "containers": [container]}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
               "spec": {"selector": labels, "ports": [{"port": 3000}]}}  # fmt: skip
    for one in (secret, deployment, service):
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(one))
    cluster.kubectl("rollout", "status", "deployment/shop", "--timeout=60s", seconds=70)
    yield cluster


def onceproof(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("onceproof")), *arguments],
        capture_output=True, text=True, timeout=RUN_SECONDS,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    sys.stdout.write(done.stdout + done.stderr)  # shown if the test fails
    return done


def asked_for(shop: Cluster, image: str, runs: Path) -> tuple[str, ...]:
    return (
        str(HERE / "crashed_shop.py"), "--config", str(HERE / "express" / "onceproof.toml"),
        "--on", "kubernetes", "--namespace", shop.namespace, "--image", image,
        "--seed", "7", "--runs", str(runs),
    )  # fmt: skip


def deployment_of(shop: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shop.kubectl("get", "deployment", "shop", "--output=json"))
    return found


def test_preflight_announces_what_is_changed(shop: Cluster, image: str) -> None:
    before = standing(shop)

    done = onceproof(
        "preflight", str(HERE / "crashed_shop.py"), "--config",
        str(HERE / "express" / "onceproof.toml"), "--namespace", shop.namespace,
        "--image", image, "--json",
    )  # fmt: skip

    assert done.returncode == 0
    said = {one["what"]: one["detail"] for one in json.loads(done.stdout)}
    assert said["changes"].startswith("DATABASE_URL of Deployment shop: ")
    assert "two rollouts of 2 pods" in said["changes"]
    assert "the witness stands in" in said["changes"]
    assert standing(shop) == before


@pytest.mark.timeout(2 * RUN_SECONDS)
def test_it_is_found_guilty_where_it_runs_and_given_back(
    shop: Cluster, image: str, tmp_path: Path
) -> None:
    before = standing(shop)

    done = onceproof("run", *asked_for(shop, image, tmp_path), "--json")

    assert done.returncode == 1, done.stderr
    assert standing(shop) == before
    verdict = json.loads(done.stdout)
    assert "A1" in {one["code"] for one in verdict["anomalies"]}
    assert [f"rollout {number} of 2" in done.stderr for number in (1, 2)] == [True, True]
    folder = RunFolder.find(tmp_path)
    manifest = folder.read_manifest()
    assert manifest.has_witness
    assert manifest.environment["kubernetes"]["crash"] == "helper"
    records = read_journal(folder.journal)
    stages = [one.stage for one in records if isinstance(one, FaultRecord)]
    assert stages.count(Stage.EVIDENCE) == 2
    proofs = [one.evidence for one in records if isinstance(one, FaultRecord) and one.evidence]
    assert all(one.complete for one in proofs)
    assert [one.what for one in records if isinstance(one, Changed | Restored)] == 2 * [
        "redirected"
    ]
    for path in folder.path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


KILLED = """
import sys
from tests.e2e.killed_runner import kill_at
kill_at(int(sys.argv.pop(1)), "before")
from scenarios.engine.cli import main
main()
"""


@pytest.mark.skipif(not NIGHTLY, reason="NOT TRIED: for make nightly-kubernetes")
@pytest.mark.timeout(2 * RUN_SECONDS)
def test_heal_gives_it_back_when_the_runner_was_killed(
    shop: Cluster, image: str, tmp_path: Path
) -> None:
    before = standing(shop)
    root = HERE.parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "4", "run", *asked_for(shop, image, tmp_path)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=RUN_SECONDS,
    )  # fmt: skip
    assert done.returncode == -9
    assert BEFORE in deployment_of(shop)["metadata"]["annotations"]

    report = asyncio.run(heal(tmp_path, run=None))

    assert report.healed, report
    assert standing(shop) == before
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s", seconds=70)
