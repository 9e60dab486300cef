"""What preflight counts and makes; what a killed one left is removed by the next one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.kube.gateway import Gateway
from cluster.kube.manifests import NAME, PART_OF, RUN, SERVICE
from scenarios.engine.catalog import load_scenario
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import ClusterTarget, RunPlan
from scenarios.engine.pod_objects import manifests_of
from scenarios.engine.preflight import PREFLIGHT, SACRIFICE_SECONDS, at_most, remove_left
from tests.cluster.kube.fake_api import NAMESPACE, FakeApi


async def test_only_the_pods_of_a_preflight_that_is_over_are_removed(
    api: FakeApi, gateway: Gateway
) -> None:
    for name, run, age_seconds in (
        ("left", f"{PREFLIGHT}1", SACRIFICE_SECONDS + 60),
        ("young", f"{PREFLIGHT}2", 20),
        ("of-a-run", "abc", SACRIFICE_SECONDS + 60),
    ):
        made = datetime.now(UTC) - timedelta(seconds=age_seconds)
        stamp = made.isoformat(timespec="seconds").replace("+00:00", "Z")
        api.put("Pod", {"metadata": {"name": name, "labels": {PART_OF: NAME, RUN: run},
                                     "creationTimestamp": stamp}})  # fmt: skip

    await remove_left(gateway)

    assert [path.rpartition("/")[2] for path, _ in api.deleted] == ["left"]


def test_room_is_asked_for_as_many_replicas_as_there_will_be(tmp_path: Path) -> None:
    target = ClusterTarget(context=None, namespace=NAMESPACE, image="image")
    web = []
    for name in ("distinct_ids", "scaled_under_load", "autoscaled"):
        plan = RunPlan(
            name=name, scenario=load_scenario(name)[1], config=load_config(OWN_CONFIG),
            strategy="insert_first", provider="honours", seed=0, runs=tmp_path, cluster=target,
        )  # fmt: skip
        objects = [one for part in manifests_of(plan, target, "r1") for one in part]
        grown = at_most(plan, objects)
        (deployment,) = [
            one for one in grown
            if (one["kind"], one["metadata"]["name"]) == ("Deployment", SERVICE)
        ]  # fmt: skip
        web.append(deployment)
        assert len(grown) == len(objects)
    assert [one["spec"]["replicas"] for one in web] == [3, 6, 6]
