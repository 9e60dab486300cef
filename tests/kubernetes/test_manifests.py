"""The manifests as a real API server takes them, and as they run by hand.

A dry run on the server's side knows every field, default and admission rule that the cluster has.
"Warning:" is how it speaks of what it takes but should not: an unknown pod-security violation, a
deprecated version.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kube.manifests import FOLDER, load, set_image
from cluster.kube.rungs import SEIZE_AND_EXIT
from tests.kubernetes.conftest import Cluster

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["base", "hpa", "swarm", "overlays/local", "overlays/doks"]
READY_SECONDS = 120
ORDER = 910_000_000_000_000_042
Objects = list[dict[str, Any]]


def rendered(folder: str, cluster: Cluster) -> Objects:
    """What kustomize makes of a folder, for this namespace."""
    text = Cluster().kubectl("kustomize", str(FOLDER / folder))
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        if one["kind"] != "Namespace":
            one["metadata"]["namespace"] = cluster.namespace
    return objects


def as_text(objects: Objects) -> str:
    return yaml.safe_dump_all(objects)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_server_takes_every_object_without_a_warning(folder: str, cluster: Cluster) -> None:
    objects = rendered(folder, cluster)
    done = cluster.run(
        "create", "--dry-run=server", "--validate=strict", "--filename=-",
        stdin=as_text([one for one in objects if one["kind"] != "Namespace"]),
    )  # fmt: skip
    assert done.stdout.count("(server dry run)") == sum(
        one["kind"] != "Namespace" for one in objects
    )
    assert "Warning" not in done.stderr

    for one in objects:
        if one["kind"] == "Namespace":
            Cluster().kubectl("apply", "--dry-run=server", "--filename=-", stdin=as_text([one]))


def test_the_server_refuses_what_is_misspelled(cluster: Cluster) -> None:
    objects = [one for one in rendered("base", cluster) if one["kind"] == "Deployment"]
    objects[0]["spec"]["template"]["spec"]["terminationGracePeriodsSeconds"] = 1
    with pytest.raises(AssertionError, match="terminationGracePeriodsSeconds"):
        cluster.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-",
                        stdin=as_text(objects))  # fmt: skip


@pytest.fixture(scope="module")
def running(cluster: Cluster, image: str) -> Cluster:
    """The local overlay, all of it ready."""
    objects = [one for one in rendered("overlays/local", cluster) if one["kind"] != "Namespace"]
    for one in objects:
        if "template" in one.get("spec", {}):
            set_image(one["spec"]["template"]["spec"], image)
    cluster.kubectl("apply", "--filename=-", stdin=as_text(objects))
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            name = f"{one['kind'].lower()}/{one['metadata']['name']}"
            cluster.kubectl("rollout", "status", name, f"--timeout={READY_SECONDS}s",
                            seconds=READY_SECONDS + 10)  # fmt: skip
    return cluster


def pods(cluster: Cluster, name: str) -> Objects:
    text = cluster.kubectl(
        "get", "pods", f"--selector=app.kubernetes.io/name={name}", "--output=json"
    )
    found: Objects = json.loads(text)["items"]
    return found


def deliver(cluster: Cluster, pod: str, order: int, webhook: str) -> dict[str, Any]:
    """Send one signed delivery from within a pod, as a sender in the cluster would."""
    body = json.dumps({
        "id": order, "total_price": "10.00", "updated_at": "2026-01-01T00:00:00Z",
        "financial_status": "paid", "line_items": [{"sku": "A", "quantity": 1}],
    })  # fmt: skip
    digest = hmac.new(b"example-secret", body.encode(), hashlib.sha256).digest()
    headers = {
        "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
        "X-Shopify-Topic": "orders/paid", "X-Shopify-Shop-Domain": "a.myshopify.com",
        "X-Shopify-Webhook-Id": webhook, "Content-Type": "application/json",
    }  # fmt: skip
    script = (
        "import json, sys, urllib.request as r; body, headers = json.load(sys.stdin);"
        "q = r.Request('http://localhost:3000/webhooks/orders/paid', body.encode(), headers);"
        "print(r.urlopen(q, timeout=10).read().decode())"
    )
    answer: dict[str, Any] = json.loads(
        cluster.read(pod, "python", "-c", script, stdin=json.dumps([body, headers]))
    )
    return answer


def effects(cluster: Cluster) -> int:
    """How many shipments the witness has written down."""
    (witness,) = pods(cluster, "witness")
    text = cluster.read(witness["metadata"]["name"], "cat", "/records/witness.jsonl")
    return len({json.loads(line)["effect_id"] for line in text.splitlines()
                if json.loads(line)["record"] == "call"})  # fmt: skip


def until(condition: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.5)
    return found


def test_an_order_told_to_every_replica_ships_once(running: Cluster) -> None:
    replicas = pods(running, "payment-processor")
    assert len(replicas) == 3
    for number, pod in enumerate(replicas):
        deliver(running, pod["metadata"]["name"], ORDER, f"webhook-{number}")
    assert until(lambda: effects(running), 20) == 1


def test_the_harness_shares_a_node_and_one_kernel(running: Cluster) -> None:
    harness = [pod for name in ("postgres", "wire", "witness") for pod in pods(running, name)]
    assert len(harness) == 3
    assert len({pod["spec"]["nodeName"] for pod in harness}) == 1
    boots = {
        running.read(pod["metadata"]["name"], "cat", "/proc/sys/kernel/random/boot_id")
        for pod in harness
    }
    assert len(boots) == 1


def test_each_replica_comes_to_the_wire_from_an_address_of_its_own(running: Cluster) -> None:
    (wire,) = pods(running, "wire")
    addresses = {pod["status"]["podIP"] for pod in pods(running, "payment-processor")}
    assert len(addresses) == 3

    def seen() -> bool:
        text = running.read(wire["metadata"]["name"], "cat", "/records/wire.jsonl")
        return addresses <= {json.loads(line).get("replica") for line in text.splitlines()}

    until(seen, 20)


def test_nothing_can_be_written_but_where_the_pod_says(running: Cluster) -> None:
    for name in ("postgres", "wire", "witness", "payment-processor", "relay"):
        pod = pods(running, name)[0]["metadata"]["name"]
        refused = running.read(
            pod, "sh", "-c", "id -u; touch /app/x /opt/x /x 2>&1; grep CapEff /proc/$$/status"
        )
        assert refused.splitlines()[0] == "1000"
        assert refused.count("Read-only file system") == 3
        assert "0000000000000000" in refused


@pytest.mark.parametrize("time_of_crash", ["first", "again"])
def test_a_crashed_postgres_recovers_on_its_data(running: Cluster, time_of_crash: str) -> None:
    (before,) = pods(running, "postgres")
    (container,) = before["status"]["containerStatuses"]
    running.kubectl("exec", "postgres-0", "--", "sh", "-c",
                    "kill -9 $(head -n 1 /data/postgres/postmaster.pid)")  # fmt: skip

    def back() -> Any:
        (pod,) = pods(running, "postgres")
        (now,) = pod["status"]["containerStatuses"]
        return now["ready"] and now["containerID"] != container["containerID"] and pod

    after = until(back, 60)  # the second time, the kubelet waits ten seconds
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    ended = after["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["containerID"]) == (137, container["containerID"])
    replica = pods(running, "payment-processor")[0]["metadata"]["name"]
    answer = until(lambda: again(running, replica), 30)
    assert answer == {"outcome": "duplicate order"}, "the order from before the crash is known"
    assert effects(running) == 1


def again(cluster: Cluster, replica: str) -> dict[str, Any] | None:
    try:
        return deliver(cluster, replica, ORDER, "webhook-after")
    except (AssertionError, subprocess.TimeoutExpired):
        return None


@pytest.fixture
def bare_pod(cluster: Cluster, image: str) -> Iterator[str]:
    """Postgres as process 1 of its container, which the StatefulSet's shared namespace avoids."""
    (given,) = [one for one in load(FOLDER / "base") if one["kind"] == "StatefulSet"]
    spec = given["spec"]["template"]["spec"]
    del spec["shareProcessNamespace"], spec["affinity"]
    set_image(spec, image)
    (container,) = spec["containers"]
    container["env"] = [{"name": "POSTGRES_PASSWORD", "value": "example"}]
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec,
           "metadata": {"name": "postgres-alone", "namespace": cluster.namespace}}  # fmt: skip
    cluster.kubectl("create", "--filename=-", stdin=as_text([pod]))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/postgres-alone", "--timeout=60s",
                    seconds=70)  # fmt: skip
    yield "postgres-alone"
    cluster.kubectl("delete", "pod", "postgres-alone", "--wait=false")


def test_postgres_as_process_1_takes_the_file_of_a_dead_process_1_for_stale(
    cluster: Cluster, bare_pod: str
) -> None:
    def alone() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            cluster.kubectl("get", "pod", bare_pod, "--output=json")
        )["status"]["containerStatuses"][0]
        return found

    assert cluster.read(bare_pod, "head", "-n", "1", "/data/postgres/postmaster.pid") == "1\n"
    seized = cluster.kubectl("exec", bare_pod, "--", "sh", "-c",
                             'python -c "$0" 2>&1; echo', SEIZE_AND_EXIT)  # fmt: skip
    if "errno" in seized:
        pytest.skip(f"this node forbids ptrace: {seized.strip()}")
    until(lambda: alone()["restartCount"] >= 1 and alone()["ready"], 60)
    assert "interrupted; last known up" in cluster.kubectl("logs", bare_pod)
