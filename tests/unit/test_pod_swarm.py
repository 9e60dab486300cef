"""The objects of a swarm in a cluster: each pod sends its share, and has what it sends with it."""

from pathlib import Path
from typing import Any

import pytest

from cluster.kube import manifests
from loadtests.swarm import SwarmPlan
from scenarios.engine.plan import ClusterTarget
from scenarios.engine.pod_swarm import pods_of


def objects(workers: int, **more: Any) -> list[dict[str, Any]]:
    plan = SwarmPlan(
        orders=10, per_second=5.0, copies=2, ids="distinct", seed=1, retries=8,
        retry_time_scale=0.01, webhook="/paid", create_webhook="", users=5,
        targets={"service": "http://shop:3000"}, history=Path("/somewhere"), **more,
    )  # fmt: skip
    target = ClusterTarget(
        context=None, namespace="chaos", image="image", workers=workers, requests={"cpu": "20m"}
    )
    return list(pods_of(plan, run="r1", target=target))


def arguments(pod: dict[str, Any]) -> list[str]:
    (container,) = pod["spec"]["containers"]
    return list(container["args"])


@pytest.mark.parametrize(("workers", "pods"), [(1, 1), (3, 4)])
def test_more_than_one_have_a_master(workers: int, pods: int) -> None:
    made = [one for one in objects(workers) if one["kind"] == "Pod"]
    assert len(made) == pods
    assert all(one["metadata"]["labels"][manifests.RUN] == "r1" for one in made)
    assert [one["spec"]["containers"][0]["resources"]["requests"] for one in made] == [
        {"cpu": "20m"}
    ] * pods


@pytest.mark.parametrize("workers", [1, 2])
def test_templates_of_bodies_go_along(workers: int, tmp_path: Path) -> None:
    paid, cancelled = tmp_path / "order.json", tmp_path / "gone.txt"
    paid.write_text('{"id": {{ order_id }}}')
    cancelled.write_text("gone {{ order_id }}")

    first, *rest = objects(workers, payload=paid, cancel_payload=cancelled)

    assert first["kind"] == "ConfigMap"
    assert first["metadata"]["labels"][manifests.RUN] == "r1"
    assert first["data"] == {
        "payload.json": '{"id": {{ order_id }}}', "cancel-payload.txt": "gone {{ order_id }}",
    }  # fmt: skip
    for pod in (one for one in rest if one["kind"] == "Pod"):
        (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "templates"]
        assert volume["configMap"] == {"name": first["metadata"]["name"]}
        mounts = {one["name"]: one for one in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["templates"]["mountPath"] == "/templates"
    sends = arguments(next(one for one in rest if one["kind"] == "Pod"))
    assert sends[sends.index("--payload") + 1] == "/templates/payload.json"
    assert sends[sends.index("--create-payload") + 1] == ""
    assert sends[sends.index("--cancel-payload") + 1] == "/templates/cancel-payload.txt"


def test_without_templates_nothing_is_mounted() -> None:
    (pod,) = objects(1)
    assert "templates" not in {one["name"] for one in pod["spec"]["volumes"]}
