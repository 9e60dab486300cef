"""The Role that `onceproof rbac` prints, on a real cluster: enough, and each verb of it needed."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.kube.gateway import Gateway
from cluster.kube.permissions import Permission, missing, needed, roles
from tests.kubernetes.conftest import Cluster

NOTICED_SECONDS = 15.0
FAULTS = {"crash"}


@pytest.fixture
def account(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The account that has exactly that Role, and no other way to the cluster."""
    for manifest in roles(FAULTS, cluster.namespace):
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--output=json"))
    token = cluster.kubectl("create", "token", "onceproof", "--duration=1h").strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    monkeypatch.setenv("ONCEPROOF_TEST_KUBECONFIG", str(path))
    yield


async def lacking(namespace: str, expected: list[Permission]) -> list[Permission]:
    """What the account lacks, asked until it is as expected: a Role is noticed a little later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", os.environ["ONCEPROOF_TEST_KUBECONFIG"])
        deadline = time.monotonic() + NOTICED_SECONDS
        async with await Gateway.connect(None, namespace) as gateway:
            wanted = needed(FAULTS, make_namespace=False)
            while (found := await missing(gateway, wanted)) != expected:
                if time.monotonic() >= deadline:
                    break
                await asyncio.sleep(0.05)
            return found


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("account")
def test_each_verb_that_is_taken_away_is_named(cluster: Cluster) -> None:
    wanted = needed(FAULTS, make_namespace=False)
    assert asyncio.run(lacking(cluster.namespace, [])) == []

    for gone in wanted:
        rules = [
            {"apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]}
            for one in wanted
            if one != gone
        ]
        role = next(one for one in roles(FAULTS, cluster.namespace) if one["kind"] == "Role")
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps({**role, "rules": rules}))
        assert asyncio.run(lacking(cluster.namespace, [gone])) == [gone], gone.words
