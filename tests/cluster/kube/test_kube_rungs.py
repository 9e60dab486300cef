"""The ladder of crashes: each rung's reason is told, and none takes another's place."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from cluster.kube import rungs
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import path_of
from cluster.kube.rungs import Rung, prove
from results.errors import ClusterError
from tests.cluster.kube.conftest import make_pod
from tests.cluster.kube.fake_api import NAMESPACE, FakeApi, not_run, status_message

TEMPLATE = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "service"}]}}
LABELS = {"onceproof.dev/run": "r1"}
NO_SHELL = 'failed to start exec "e": exec: "sh": executable file not found in $PATH'
NO_PYTHON = 'failed to start exec "e": exec: "python": executable file not found in $PATH'
KILLED = {"exitCode": 137, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}


class Kubelet:
    """Runs what is created, and ends what is killed."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.helper: dict[str, Any] | None = None  # how a helper ends up
        self.answers: dict[str, Any] = {"sh": not_run(NO_SHELL), "python": not_run(NO_PYTHON)}
        self.commands: list[str] = []

    def starts(self) -> None:
        for path, found in list(self.api.objects.items()):
            name = found["metadata"]["name"]
            if "/pods/" in path and "status" not in found:
                self.api.put("Pod", found | {"status": make_pod(name)["status"]})
        for path, body in self.api.patched:
            if path.endswith("/ephemeralcontainers") and self.helper is not None:
                helper = body["spec"]["ephemeralContainers"][0]["name"]
                pod = self.api.objects[path.removesuffix("/ephemeralcontainers")]
                pod["status"]["ephemeralContainerStatuses"] = [{"name": helper} | self.helper]

    def ends(self, pod: str, end: dict[str, Any]) -> None:
        found = self.api.objects[path_of("Pod", NAMESPACE, pod)]
        found["status"]["containerStatuses"][0]["state"] = {"terminated": end}

    async def container(self, socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        self.commands.append(f"{command[0]} in {pod}")
        answer = self.answers[command[0]]
        if isinstance(answer, dict):
            self.ends(pod, answer)
            return
        await socket.send_bytes(answer)


@pytest.fixture
def kubelet(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubelet]:
    monkeypatch.setattr(rungs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(rungs, "DEATH_SECONDS", 0.3)
    monkeypatch.setattr(rungs, "START_SECONDS", 2.0)
    one = Kubelet(api)
    api.containers = one.container
    get = Gateway.get

    async def seen(self: Gateway, kind: str, name: str) -> Any:
        one.starts()
        return await get(self, kind, name)

    monkeypatch.setattr(Gateway, "get", seen)
    yield one
    assert not [path for path in api.objects if "sacrifice" in path]  # none is left behind


async def proved(gateway: Gateway) -> Rung:
    async with asyncio.timeout(20):
        return await prove(gateway, TEMPLATE, "app", labels=LABELS, helper_image="ours")


async def test_the_easiest_rung_that_kills_is_taken(kubelet: Kubelet, gateway: Gateway) -> None:
    kubelet.answers["sh"] = KILLED
    assert await proved(gateway) == Rung("shared-pid")


async def test_the_next_rung_is_tried_on_a_pod_of_its_own(
    kubelet: Kubelet, gateway: Gateway
) -> None:
    kubelet.answers["python"] = KILLED
    assert await proved(gateway) == Rung("ptrace")
    (first, second) = (command.split(" in ")[1] for command in kubelet.commands)
    assert first != second


async def test_a_container_without_shell_and_python_is_killed_by_a_helper(
    kubelet: Kubelet, gateway: Gateway, api: FakeApi
) -> None:
    kubelet.helper = {"state": {"terminated": {"exitCode": 0}}}

    class Patches(list[tuple[str, Any]]):
        def append(self, item: tuple[str, Any]) -> None:
            super().append(item)
            kubelet.ends(item[0].split("/")[-2], KILLED)

    api.patched = Patches(api.patched)
    assert await proved(gateway) == Rung("helper", "ours")
    (body,) = (body for path, body in api.patched if path.endswith("/ephemeralcontainers"))
    (helper,) = body["spec"]["ephemeralContainers"]
    assert (helper["image"], helper["targetContainerName"]) == ("ours", "app")


async def test_each_rung_tells_why_it_failed(
    kubelet: Kubelet, gateway: Gateway, api: FakeApi
) -> None:
    kubelet.answers["python"] = b"\2ptrace: errno 1\n"
    kubelet.helper = {"state": {"terminated": {"exitCode": 1}}}
    api.log_of_pod = "ptrace: errno 1\n"
    with pytest.raises(ClusterError) as refused:
        await proved(gateway)
    text = str(refused.value)
    assert text.startswith("crash: unavailable: shared-pid: ")
    assert 'exec: "sh": executable file not found' in text
    assert "; ptrace: onceproof-sacrifice-" in text
    assert text.endswith("; helper: the helper ended with exit code 1: ptrace: errno 1.")


@pytest.mark.parametrize(
    ("helper", "words"),
    [
        ({"state": {"waiting": {"reason": "ErrImagePull"}}}, "does not start: ErrImagePull"),
        ({"state": {"waiting": {"reason": "Pulling"}}}, "still ran after 2 s: the helper waits"),
        (None, "helper: it still ran after 0 s"),
    ],
)
async def test_a_helper_that_does_not_start_is_told(
    kubelet: Kubelet, gateway: Gateway, helper: dict[str, Any] | None, words: str
) -> None:
    kubelet.helper = helper
    with pytest.raises(ClusterError, match=words):
        await proved(gateway)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({"exitCode": 0, "reason": "Completed"}, r"exit code 0 \(Completed\)"),
        ({"exitCode": 143, "reason": "Error"}, r"exit code 143 \(Error\)"),
        ({"exitCode": 137, "reason": "OOMKilled"}, r"exit code 137 \(OOMKilled\)"),
    ],
)
async def test_another_end_is_no_crash(
    kubelet: Kubelet, gateway: Gateway, end: dict[str, Any], words: str
) -> None:
    kubelet.answers["sh"] = end
    with pytest.raises(
        ClusterError, match=f"crash: unavailable: shared-pid: it ended with {words}"
    ):
        await proved(gateway)


async def test_a_command_that_says_it_was_done_and_kills_nobody_is_no_rung(
    kubelet: Kubelet, gateway: Gateway
) -> None:
    kubelet.answers["sh"] = status_message(0)  # as `kill -9 1` does in its own namespace
    with pytest.raises(ClusterError, match="shared-pid: it still ran after 0 s"):
        await proved(gateway)


async def test_a_pod_that_ends_by_itself_proves_nothing(
    kubelet: Kubelet, gateway: Gateway, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet, "starts", lambda: [
        found.update(status=make_pod("x", state={"terminated": KILLED})["status"])
        for path, found in api.objects.items() if "/pods/" in path
    ])  # fmt: skip
    with pytest.raises(ClusterError, match="ended by itself before it could be crashed"):
        await proved(gateway)
    assert not kubelet.commands
