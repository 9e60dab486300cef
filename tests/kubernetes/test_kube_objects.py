"""Objects of a real API server: what may be done twice, and what only to that very object."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.kube.gateway import MERGE_PATCH, ApiError, Gateway
from cluster.kube.watch import PodWatch
from tests.kubernetes.pods import container, template

SECONDS = 30.0
OTHER_UID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
async def gateway(namespace: str) -> AsyncIterator[Gateway]:
    async with await Gateway.connect(None, namespace) as one:
        yield one


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": name, "labels": {"test": name}}}  # fmt: skip


def pod(name: str, image: str) -> dict[str, Any]:
    """A pod that never has a node: an object without a process."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"test": name}},
        "spec": {**template(container(image))["spec"], "nodeSelector": {"no-such": "node"}},
    }  # fmt: skip


async def test_apply_is_the_same_twice_and_a_patch_changes_a_part(gateway: Gateway) -> None:
    name = f"map-{secrets.token_hex(3)}"
    first = await gateway.apply(config_map(name, a="1", b="2"))
    again = await gateway.apply(config_map(name, a="1", b="2"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    await gateway.patch("ConfigMap", name, {"data": {"b": "3"}}, content_type=MERGE_PATCH)
    found = await gateway.get("ConfigMap", name)
    assert found is not None and found["data"] == {"a": "1", "b": "3"}
    listed, version = await gateway.list("ConfigMap", f"test={name}")
    assert [one["metadata"]["name"] for one in listed] == [name] and version

    with pytest.raises(ApiError) as refused:
        await gateway.create(config_map(name))
    assert refused.value.status == 409
    assert await gateway.delete("ConfigMap", name)
    assert not await gateway.delete("ConfigMap", name)
    assert await gateway.get("ConfigMap", name) is None


async def test_only_the_pod_with_that_uid_is_deleted_or_evicted(
    gateway: Gateway, image: str
) -> None:
    name = f"pod-{secrets.token_hex(3)}"
    made = await gateway.create(pod(name, image))
    uid = made["metadata"]["uid"]
    assert not await gateway.delete("Pod", name, uid=OTHER_UID)
    with pytest.raises(ApiError) as refused:
        await gateway.evict(name, uid=OTHER_UID)
    assert refused.value.status == 409
    found = await gateway.get("Pod", name)
    assert found is not None and "deletionTimestamp" not in found["metadata"]
    assert not await gateway.gone("Pod", name, uid=uid, timeout_seconds=0.5)

    assert await gateway.delete("Pod", name, uid=uid, grace_seconds=0)
    assert await gateway.gone("Pod", name, uid=uid, timeout_seconds=SECONDS)


async def test_a_pod_of_the_same_name_is_another_pod(gateway: Gateway, image: str) -> None:
    name = f"pod-{secrets.token_hex(3)}"
    old = (await gateway.create(pod(name, image)))["metadata"]["uid"]
    assert await gateway.delete("Pod", name, uid=old, grace_seconds=0)
    assert await gateway.gone("Pod", name, uid=old, timeout_seconds=SECONDS)
    new = (await gateway.create(pod(name, image)))["metadata"]["uid"]
    assert new != old
    assert await gateway.gone("Pod", name, uid=old, timeout_seconds=SECONDS)  # whoever is there now
    assert not await gateway.delete("Pod", name, uid=old)
    found = await gateway.get("Pod", name)
    assert found is not None and found["metadata"]["uid"] == new
    await gateway.delete("Pod", name, uid=new, grace_seconds=0)


async def test_a_watch_tells_what_comes_and_goes(gateway: Gateway, image: str) -> None:
    name = f"pod-{secrets.token_hex(3)}"
    async with PodWatch(gateway, f"test={name}") as watch:
        assert watch.now == {}
        made = await gateway.create(pod(name, image))
        assert await watch.until(lambda: watch.now.get(name), SECONDS) is not None
        await gateway.delete("Pod", name, uid=made["metadata"]["uid"], grace_seconds=0)
        last = await watch.until(lambda: watch.gone.get(name), SECONDS)
        assert last is not None and last["metadata"]["uid"] == made["metadata"]["uid"]
        assert name not in watch.now


async def test_a_version_that_never_was_is_refused_and_not_waited_for(gateway: Gateway) -> None:
    with pytest.raises(ApiError):
        async with asyncio.timeout(SECONDS):
            async for _ in gateway.watch("Pod", "", "not-a-version"):
                pass


async def test_what_is_allowed_is_asked_and_not_assumed(gateway: Gateway) -> None:
    assert await gateway.allowed("get", "pods")
    assert await gateway.allowed("create", "pods", subresource="exec")
    assert await gateway.allowed("list", "nodes", everywhere=True)
