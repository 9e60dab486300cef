"""The autoscaler of a run, on a played API server: what is made, what is read, what goes."""

import pytest

from cluster.kube import manifests
from cluster.kube.autoscaler import KIND, Autoscaler, Seen, require_metrics
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.kinds import path_of
from results.errors import ClusterError
from scenarios.engine.plan import ClusterTarget
from scenarios.engine.pod_objects import scaler_of
from tests.cluster.kube.fake_api import NAMESPACE, FakeApi

NAME = "payment-processor-hpa"
PATH = path_of(KIND, NAMESPACE, NAME)


@pytest.fixture
def autoscaler(gateway: Gateway) -> Autoscaler:
    target = ClusterTarget(context=None, namespace=NAMESPACE, image="image")
    return Autoscaler(gateway, scaler_of(target, "r1"))


async def test_it_is_the_one_that_ships_with_the_numbers_of_the_fault(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    await autoscaler.make(3, 6, cpu_percent=40, calm_seconds=15)

    made = api.objects[PATH]
    assert made["metadata"]["labels"][manifests.RUN] == "r1"
    assert made["spec"]["scaleTargetRef"]["name"] == manifests.SERVICE
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (3, 6)
    (metric,) = made["spec"]["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 40}
    assert made["spec"]["behavior"]["scaleDown"] == {"stabilizationWindowSeconds": 15}
    assert await autoscaler.remove() == 3
    assert PATH not in api.objects
    assert await autoscaler.remove() is None


async def test_one_that_is_there_already_is_never_deleted(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    api.put(KIND, {"metadata": {"name": NAME}})
    with pytest.raises(ApiError):
        await autoscaler.make(3, 6, cpu_percent=40, calm_seconds=15)
    assert await autoscaler.remove() is None
    assert PATH in api.objects


async def test_no_room_for_more_is_said_before_it_is_made(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    with pytest.raises(ClusterError, match="6 replicas are there already, of 6 at most"):
        await autoscaler.make(6, 6, cpu_percent=40, calm_seconds=15)
    assert PATH not in api.objects


async def test_it_tells_what_it_saw_and_why_it_cannot_decide(
    api: FakeApi, autoscaler: Autoscaler
) -> None:
    assert await autoscaler.seen() == Seen(None, "")
    resource = {"name": "cpu", "current": {"averageUtilization": 83, "averageValue": "166m"}}
    api.put(KIND, {"metadata": {"name": NAME}, "status": {
        "currentMetrics": [{"type": "Resource", "resource": resource}],
        "conditions": [
            {"type": "AbleToScale", "status": "True", "message": "fine"},
            {"type": "ScalingActive", "status": "False", "message": "no metrics returned"},
            {"type": "ScalingLimited", "status": "False", "message": "within the range"},
        ]}})  # fmt: skip
    assert await autoscaler.seen() == Seen(83, "no metrics returned")


async def test_a_cluster_without_metrics_is_refused_with_what_to_do(
    api: FakeApi, gateway: Gateway
) -> None:
    api.moody("GET", "/metrics.k8s.io/v1beta1", 404)
    with pytest.raises(ClusterError, match=r"autoscale: unavailable.*\(404\).*scaled_under_load"):
        await require_metrics(gateway)
    api.moody("GET", "/metrics.k8s.io/v1beta1", "{}")
    await require_metrics(gateway)
