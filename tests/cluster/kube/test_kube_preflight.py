"""What a killed preflight left is removed by the next one, on a played API server."""

from datetime import UTC, datetime, timedelta

from cluster.kube.gateway import Gateway
from cluster.kube.manifests import NAME, PART_OF, RUN
from scenarios.engine.preflight import PREFLIGHT, SACRIFICE_SECONDS, remove_left
from tests.cluster.kube.fake_api import FakeApi


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
