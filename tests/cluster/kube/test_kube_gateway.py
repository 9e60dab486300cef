"""Calls to an API server that is throttled, broken or away."""

import asyncio
import time

import pytest

from cluster.kube import gateway as gateway_module
from cluster.kube.gateway import ApiError, Gateway
from results.errors import ClusterError
from tests.cluster.kube.fake_api import FakeApi

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {}}


async def test_429_is_obeyed_for_as_long_as_it_says(api: FakeApi, gateway: Gateway) -> None:
    api.put("Pod", {"metadata": {"name": "a"}})
    api.moody("GET", "/pods/a", (429, {"Retry-After": "1"}))
    begun = time.monotonic()
    found = await gateway.get("Pod", "a")
    assert found is not None
    assert time.monotonic() - begun >= 1.0
    assert api.asked("GET", "/pods/a") == 2


@pytest.mark.parametrize("answer", [500, 502, 503, 504, 408, "cut"])
async def test_what_may_be_repeated_is_repeated(
    api: FakeApi, gateway: Gateway, answer: int | str
) -> None:
    api.moody("PATCH", "/configmaps/one", answer, answer)
    await gateway.apply(dict(CONFIG_MAP))
    assert api.asked("PATCH", "/configmaps/one") == 3


async def test_a_server_that_never_gets_well_is_given_up_at_the_deadline(
    api: FakeApi, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "CALL_SECONDS", 0.5)
    api.moody("GET", "/pods/a", *[503] * 100)
    with pytest.raises(ClusterError, match=r"did not answer GET .*/pods/a .*status 503"):
        await gateway.get("Pod", "a")


@pytest.mark.parametrize("answer", [500, 503])
async def test_a_create_that_failed_is_not_repeated(
    api: FakeApi, gateway: Gateway, answer: int
) -> None:
    api.moody("POST", "/configmaps", answer)
    with pytest.raises(ApiError, match=str(answer)):
        await gateway.create(dict(CONFIG_MAP))
    assert api.asked("POST", "/configmaps") == 1


async def test_a_create_whose_connection_was_cut_is_not_repeated(
    api: FakeApi, gateway: Gateway
) -> None:
    api.moody("POST", "/configmaps", "cut")
    with pytest.raises(ClusterError, match="did not answer POST"):
        await gateway.create(dict(CONFIG_MAP))
    assert api.asked("POST", "/configmaps") == 1


async def test_a_create_that_was_throttled_is_repeated(api: FakeApi, gateway: Gateway) -> None:
    api.moody("POST", "/configmaps", (429, {"Retry-After": "0"}))
    await gateway.create(dict(CONFIG_MAP))
    assert api.asked("POST", "/configmaps") == 2


async def test_429_is_the_answer_to_an_eviction(api: FakeApi, gateway: Gateway) -> None:
    api.moody("POST", "/pods/a/eviction", 429)
    with pytest.raises(ApiError) as refused:
        await gateway.evict("a", uid="u")
    assert refused.value.status == 429
    assert api.asked("POST", "/eviction") == 1


async def test_a_server_that_comes_back_within_the_deadline_is_waited_for(
    api: FakeApi, gateway: Gateway
) -> None:
    api.put("Pod", {"metadata": {"name": "a"}})
    await api.stop()
    asking = asyncio.create_task(gateway.create(dict(CONFIG_MAP)))
    done, _ = await asyncio.wait([asking], timeout=0.3)
    assert not done
    await api.start()
    await asking


async def test_a_pod_replaced_meanwhile_is_not_deleted(api: FakeApi, gateway: Gateway) -> None:
    api.put("Pod", {"metadata": {"name": "a", "uid": "new"}})
    assert not await gateway.delete("Pod", "a", uid="old")
    assert await gateway.get("Pod", "a") is not None
    assert await gateway.delete("Pod", "a", uid="new")
    assert not await gateway.delete("Pod", "a", uid="new")


async def test_gone_means_that_very_object(api: FakeApi, gateway: Gateway) -> None:
    api.put("Pod", {"metadata": {"name": "a", "uid": "new"}})
    assert await gateway.gone("Pod", "a", uid="old", timeout_seconds=1)
    assert not await gateway.gone("Pod", "a", uid="new", timeout_seconds=0.1)


async def test_something_else_than_an_api_server_is_named(api: FakeApi, gateway: Gateway) -> None:
    api.moody("GET", "/pods/a", "<html>Log in, please</html>")
    with pytest.raises(ClusterError, match="something else than JSON"):
        await gateway.get("Pod", "a")


async def test_more_objects_than_one_list_has_are_said(api: FakeApi, gateway: Gateway) -> None:
    api.moody("GET", "/pods", '{"metadata": {"continue": "more"}, "items": []}')
    with pytest.raises(ClusterError, match="more than"):
        await gateway.list("Pod")
