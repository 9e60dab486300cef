"""A service that reads its database from a file of a volume, judged where it runs, and given back.

Its handler is right only where the order has a row already: so a run that is valid shows that the
rows of `seed` were there. Its bodies come from a template, which has to reach the sending pods.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.run_folder import RunFolder
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pods import RESTRICTED
from tests.kubernetes.standing_objects import standing
from tests.kubernetes.test_theirs import onceproof

HERE = Path(__file__).parent / "settings_file"
URL = "postgresql://shop:hunter2@127.0.0.1:1/shop"  # nobody answers there
READ = 'read -r DATABASE_URL </etc/shop/database; export DATABASE_URL; exec python -m service "$0"'
RUN_SECONDS = 240


@pytest.fixture(scope="module")
def shop(cluster: Cluster, image: str) -> Cluster:
    """Two replicas with a relay each, whose database stands in a ConfigMap, beside another file."""
    settings: dict[str, Any] = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"},
        "data": {"database": f"{URL}\n", "greeting": "hello"},
    }  # fmt: skip
    env = {"SHOPIFY_SHARED_SECRET": "a-secret-of-theirs", "HOST": "0.0.0.0", "PORT": "3000",
           "STRATEGY": "for_update",
           "FULFILLMENT_URL": "http://witness:8080/shipments"}  # fmt: skip
    containers = [
        {"name": name, "image": image, "imagePullPolicy": "IfNotPresent",
         "command": ["sh", "-c", READ, name], "securityContext": RESTRICTED,
         "env": [{"name": key, "value": value} for key, value in env.items()],
         "volumeMounts": [{"name": "settings", "mountPath": "/etc/shop"}]}
        for name in ("web", "relay")
    ]  # fmt: skip
    labels = {"app": "shop"}
    probe = {"httpGet": {"path": "/healthz", "port": 3000}, "periodSeconds": 1}
    containers[0]["readinessProbe"] = probe
    spec = {"terminationGracePeriodSeconds": 2, "containers": containers,
            "volumes": [{"name": "settings", "configMap": {"name": "shop"}}]}  # fmt: skip
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
               "spec": {"selector": labels, "ports": [{"port": 3000}]}}  # fmt: skip
    for one in (settings, deployment, service):
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(one))
    cluster.kubectl("rollout", "status", "deployment/shop", "--timeout=90s", seconds=100)
    return cluster


def asked(shop: Cluster, image: str) -> tuple[str, ...]:
    return (
        str(HERE / "duplicates.py"), "--config", str(HERE / "onceproof.toml"),
        "--namespace", shop.namespace, "--image", image,
    )  # fmt: skip


def read_by(shop: Cluster, file: str) -> str:
    return shop.read("deployment/shop", "cat", f"/etc/shop/{file}")


@pytest.mark.timeout(2 * RUN_SECONDS)
def test_a_file_a_seed_and_a_template_are_filled_in(
    shop: Cluster, image: str, tmp_path: Path
) -> None:
    before = standing(shop)
    said = onceproof("preflight", *asked(shop, image), "--json")
    assert said.returncode == 0
    told = {one["what"]: one["detail"] for one in json.loads(said.stdout)}
    assert told["changes"].startswith("the volume settings of Deployment shop: ")
    assert standing(shop) == before

    done: subprocess.CompletedProcess[str] = onceproof(
        "run", *asked(shop, image), "--on", "kubernetes", "--runs", str(tmp_path),
        "--seed", "3", "--json",
    )  # fmt: skip
    sys.stdout.write(done.stderr)

    assert standing(shop) == before
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=90s", seconds=100)
    assert (read_by(shop, "database").strip(), read_by(shop, "greeting")) == (URL, "hello")
    verdict = json.loads(done.stdout)
    assert (verdict["validity"], done.returncode) == ("valid", 0)
    folder = RunFolder.find(tmp_path)
    assert folder.read_manifest().has_witness
    assert len(folder.load().history.by_order) >= 150
    for path in folder.path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path
