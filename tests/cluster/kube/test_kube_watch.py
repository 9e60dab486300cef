"""The picture of the pods stays right whatever becomes of the connection."""

import asyncio
from typing import Any

import pytest

from cluster.kube import gateway as gateway_module
from cluster.kube.gateway import Gateway
from cluster.kube.watch import PodWatch, stuck
from results.errors import ClusterError
from tests.cluster.kube.conftest import Pod
from tests.cluster.kube.fake_api import FakeApi

SELECTOR = "onceproof.dev/run=r1"


async def sees(watch: PodWatch, *names: str) -> bool:
    return bool(await watch.until(lambda: watch.now.keys() == set(names) or None, 5.0))


async def test_pods_come_change_and_go(api: FakeApi, gateway: Gateway, pod: Pod) -> None:
    api.put("Pod", pod("a"))
    api.put("Pod", {"metadata": {"name": "another's", "labels": {}}})
    told: list[tuple[str, bool]] = []
    watch = PodWatch(
        gateway, SELECTOR, lambda one, gone: told.append((one["metadata"]["name"], gone))
    )
    async with watch:
        assert watch.now.keys() == {"a"}
        await api.tell("Pod", pod("b"))
        assert await sees(watch, "a", "b")
        await api.drop("Pod", "a")
        assert await sees(watch, "b")
    assert watch.gone.keys() == {"a"}
    assert told == [("a", False), ("b", False), ("a", True)]


async def test_410_is_answered_by_a_new_list(api: FakeApi, gateway: Gateway, pod: Pod) -> None:
    api.put("Pod", pod("a"))
    async with PodWatch(gateway, SELECTOR) as watch:
        await api.watched()
        api.moody("GET", "/pods", 410)  # the next watch
        await api.end_watches()
        api.put("Pod", pod("b"))
        assert await sees(watch, "a", "b")
    assert api.asked("GET", "/pods") >= 4  # list, watch, watch with 410, list


async def test_410_as_an_event_is_answered_by_a_new_list(
    api: FakeApi, gateway: Gateway, pod: Pod
) -> None:
    api.put("Pod", pod("a"))
    async with PodWatch(gateway, SELECTOR) as watch:
        await api.watched()
        api.forget_versions()  # the watch that goes on is not hurt, the next one begins too late
        await api.end_watches()
        api.put("Pod", pod("b"))
        assert await sees(watch, "a", "b")
    assert api.asked("GET", "/pods") >= 4  # list, watch, watch with 410, list


async def test_what_happened_while_the_connection_was_cut_is_told(
    api: FakeApi, gateway: Gateway, pod: Pod
) -> None:
    api.put("Pod", pod("a"))
    gone: list[str] = []
    watch = PodWatch(
        gateway,
        SELECTOR,
        lambda one, ended: gone.append(one["metadata"]["name"]) if ended else None,
    )
    async with watch:
        await api.watched()
        api._lose(next(path for path in api.objects if path.endswith("/a")))
        api.put("Pod", pod("b"))
        api.cut_watches()
        assert await sees(watch, "b")
    assert gone == ["a"]


async def test_a_name_that_is_another_pods_now_has_lost_its_first(
    api: FakeApi, gateway: Gateway, pod: Pod
) -> None:
    api.put("Pod", pod("postgres-0", uid="first"))
    async with PodWatch(gateway, SELECTOR) as watch:
        await api.watched()
        api.put("Pod", pod("postgres-0", "containerd://2", uid="second"))
        api.cut_watches()

        def second() -> bool | None:
            return watch.now["postgres-0"]["metadata"]["uid"] == "second" or None

        assert await watch.until(second, 5.0)
        assert watch.gone["postgres-0"]["metadata"]["uid"] == "first"


async def test_a_server_that_is_away_for_a_while_is_waited_for(
    api: FakeApi, gateway: Gateway, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "CALL_SECONDS", 0.3)
    api.put("Pod", pod("a"))
    async with PodWatch(gateway, SELECTOR) as watch:
        await api.watched()
        await api.stop()
        assert await watch.until(lambda: "b" in watch.now or None, 1.0) is None
        assert watch.now.keys() == {"a"}  # the last that is known
        await api.start()
        api.put("Pod", pod("b"))
        assert await sees(watch, "a", "b")


async def test_silence_ends_a_watch(
    api: FakeApi, gateway: Gateway, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "WATCH_SILENCE_SECONDS", 0.2)
    api.put("Pod", pod("a"))
    async with PodWatch(gateway, SELECTOR) as watch:
        await api.watched()
        api.put("Pod", pod("b"))  # and nobody tells
        assert await sees(watch, "a", "b")


async def test_a_watch_that_ended_for_good_is_not_waited_for(
    api: FakeApi, gateway: Gateway, pod: Pod
) -> None:
    def broken(_: dict[str, Any], gone: bool) -> None:
        if gone:
            raise KeyError("a bug")

    api.put("Pod", pod("a"))
    async with PodWatch(gateway, SELECTOR, broken) as watch:
        waiting = asyncio.create_task(watch.until(lambda: None, 60.0))
        await api.watched()
        await api.drop("Pod", "a")
        with pytest.raises(ClusterError, match="a bug"):
            await asyncio.wait_for(waiting, 5.0)


def test_a_kubelet_that_is_late_is_waited_for_and_one_that_lacks_something_is_not() -> None:
    def waiting(message: str) -> dict[str, Any]:
        state = {"waiting": {"reason": "CreateContainerConfigError", "message": message}}
        return {"status": {"containerStatuses": [{"name": "app", "state": state}]}}

    late = "failed to sync configmap cache: timed out waiting for the condition"
    assert stuck(waiting(late)) == ""
    assert "not found" in stuck(waiting('secret "onceproof" not found'))
