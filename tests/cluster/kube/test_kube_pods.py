"""Pods as replicas: who is killed, how it ended, and who comes after it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from cluster.kube.gateway import Gateway
from cluster.kube.pods import Pods, late, replica_of
from cluster.kube.rungs import Rung
from cluster.kube.watch import PodWatch
from cluster.place import Replica
from results.errors import ClusterError
from tests.cluster.kube.conftest import Pod
from tests.cluster.kube.fake_api import FakeApi, not_run, status_message

WEB = "web-x"  # the replica; its pod:
NAME = "payment-processor-7d9-x"


def end(container_id: str = "containerd://1", **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "containerID": container_id, "exitCode": 137, "reason": "Error",
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": now,
    } | changes  # fmt: skip


class Killer:
    """A container whose kill goes as the test wants."""

    def __init__(self) -> None:
        self.answer = status_message(0)
        self.commands: list[tuple[str, str]] = []

    async def container(self, socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        self.commands.append((pod, command[-1]))
        await socket.send_bytes(self.answer)


@pytest.fixture
def killer(api: FakeApi) -> Killer:
    one = Killer()
    api.containers = one.container
    return one


@pytest.fixture
async def pods(api: FakeApi, gateway: Gateway, pod: Pod, killer: Killer) -> AsyncIterator[Pods]:
    api.put("Pod", pod(NAME))
    async with PodWatch(gateway, "onceproof.dev/run=r1") as watch:
        await api.watched()
        yield Pods(gateway, watch, Rung("shared-pid"), death_seconds=0.2)


async def seen(pods: Pods, **containers: str) -> None:
    """Wait until the watch has told of these containers."""

    def look() -> bool | None:
        now = {one["metadata"]["name"]: replica_of(one).identity for one in pods.watch.now.values()}
        return now == {name: f"container:{text}" for name, text in containers.items()} or None

    assert await pods.watch.until(look, 5.0)


async def only(pods: Pods) -> Replica:
    (replica,) = await pods.replicas()
    return replica


async def test_a_pod_is_a_replica_and_a_container_its_incarnation(pods: Pods) -> None:
    replica = await only(pods)
    assert replica == Replica(
        name=WEB, role="web", identity="container:containerd://1", url="", restarts=0, ready=True
    )
    assert replica.pid is None


async def test_a_crash_kills_the_current_container_and_no_other(
    api: FakeApi, pods: Pods, pod: Pod, killer: Killer
) -> None:
    first = await only(pods)
    await pods.crash(first)
    assert killer.commands == [(NAME, "KILL")]
    await api.tell("Pod", pod(NAME, "containerd://2", restarts=1, last=end()))
    await seen(pods, **{NAME: "containerd://2"})
    for fault in (pods.crash, pods.freeze, pods.stop):
        with pytest.raises(ClusterError, match="is not the container that runs now"):
            await fault(first)
    assert killer.commands == [(NAME, "KILL")]


async def test_a_crash_of_a_pod_that_is_gone_is_refused(
    api: FakeApi, pods: Pods, killer: Killer
) -> None:
    replica = await only(pods)
    await api.drop("Pod", NAME)
    await seen(pods)
    with pytest.raises(ClusterError, match="is not the container that runs now"):
        await pods.crash(replica)
    assert not killer.commands


async def test_without_a_proved_rung_nothing_is_killed(pods: Pods, killer: Killer) -> None:
    pods.rung = None
    with pytest.raises(ClusterError, match="crash: unavailable"):
        await pods.crash(await only(pods))
    assert not killer.commands


async def test_a_kill_that_was_refused_for_sure_says_so(pods: Pods, killer: Killer) -> None:
    killer.answer = not_run('failed to start exec "e": exec: "sh": executable file not found')
    with pytest.raises(ClusterError, match="executable file not found"):
        await pods.crash(await only(pods))


async def test_stop_deletes_that_very_pod(api: FakeApi, pods: Pods) -> None:
    replica = await only(pods)
    uid = pods.watch.now[NAME]["metadata"]["uid"]
    await pods.stop(replica)
    ((_, options),) = api.deleted
    assert options["preconditions"] == {"uid": uid}
    assert not pods.watch.now


async def test_a_pod_replaced_between_list_and_stop_is_left_alone(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    replica = await only(pods)
    api.put("Pod", pod(NAME, uid="another"))  # and the watch has not told yet
    with pytest.raises(ClusterError, match="is not the pod that it was"):
        await pods.stop(replica)


# ---------------------------------------------------------------------- deaths


async def died(
    api: FakeApi, pods: Pods, victim: Replica, told: dict[str, Any], *, struck: bool = True
) -> tuple[str, ...]:
    """The doubts about a death, once the kubelet has told of it."""
    if struck:
        await pods.crash(victim)
    waiting = asyncio.create_task(pods.death(victim, timeout_seconds=5.0))
    await api.tell("Pod", told)
    death = await waiting
    assert (death.replica, death.identity) == (victim.name, victim.identity)
    return death.doubts


async def test_a_death_is_the_end_of_that_container(api: FakeApi, pods: Pods, pod: Pod) -> None:
    victim = await only(pods)
    told = pod(NAME, "containerd://2", restarts=1, last=end())
    assert await died(api, pods, victim, told) == ()


async def test_a_death_is_seen_while_the_container_is_not_yet_started_again(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    victim = await only(pods)
    told = pod(NAME, "containerd://1", ready=False, state={"terminated": end()})
    assert await died(api, pods, victim, told) == ()


async def test_a_death_of_a_pod_that_went_with_it(api: FakeApi, pods: Pods, pod: Pod) -> None:
    victim = await only(pods)
    await pods.crash(victim)
    api.put("Pod", pod(NAME, "containerd://1", ready=False, state={"terminated": end()}))
    await api.drop("Pod", NAME)
    death = await pods.death(victim, timeout_seconds=5.0)
    assert (death.exit_code, death.doubts) == (137, ())
    assert death.facts["pod"] == NAME


async def test_the_end_of_another_container_is_no_death_of_this_one(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    victim = await only(pods)
    await api.tell(
        "Pod", pod(NAME, "containerd://3", restarts=2, last=end("containerd://2"))
    )  # fmt: skip
    with pytest.raises(ClusterError, match=r"containerd://1\) still runs"):
        await pods.death(victim, timeout_seconds=0.3)


async def test_doubts_about_a_death(api: FakeApi, pods: Pods, pod: Pod) -> None:
    victim = await only(pods)
    told = pod(NAME, "containerd://2", last=end(reason="OOMKilled"))
    (doubt,) = await died(api, pods, victim, told)
    assert "memory" in doubt

    event = {
        "metadata": {"name": "event-1"}, "reason": "Killing",
        "involvedObject": {"name": NAME}, "lastTimestamp": end()["finishedAt"],
        "message": "Container app failed liveness probe, will be restarted",
    }  # fmt: skip
    api.put("Event", event)
    victim = await only(pods)
    told = pod(NAME, "containerd://3", last=end("containerd://2"))
    (doubt,) = await died(api, pods, victim, told)
    assert "failed liveness probe" in doubt


@pytest.mark.parametrize(
    "change",
    [
        {"lastTimestamp": "2025-12-31T23:59:59Z"},  # of the container before this one
        {"involvedObject": {"name": "another"}},
        {"message": "Stopping container app"},
        {"reason": "Unhealthy"},
    ],
)
async def test_other_events_are_no_doubts(
    api: FakeApi, pods: Pods, pod: Pod, change: dict[str, Any]
) -> None:
    event = {
        "metadata": {"name": "event-1"}, "reason": "Killing",
        "involvedObject": {"name": NAME}, "lastTimestamp": end()["finishedAt"],
        "message": "Container app failed liveness probe, will be restarted",
    }  # fmt: skip
    api.put("Event", event | change)
    victim = await only(pods)
    assert await died(api, pods, victim, pod(NAME, "containerd://2", last=end())) == ()


@pytest.mark.parametrize(
    ("after", "doubted"), [(-60, True), (-1, False), (0, False), (4, False), (5, True), (60, True)]
)
def test_an_end_at_another_time_than_the_kill_is_doubted(after: float, doubted: bool) -> None:
    struck = 1_790_000_000.0
    finished = datetime.fromtimestamp(struck + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert bool(late(struck, finished)) is doubted
    assert late(struck, "") == ["finished: the kubelet told no time"]


async def test_an_end_before_the_kill_is_doubted(api: FakeApi, pods: Pods, pod: Pod) -> None:
    victim = await only(pods)
    told = pod(NAME, "containerd://2", last=end(finishedAt="2026-01-01T00:00:00Z"))
    (doubt,) = await died(api, pods, victim, told)
    assert doubt.startswith("finished: -")


# ---------------------------------------------------------------------- who comes after


async def test_the_next_container_of_the_pod_comes_after(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    victim = await only(pods)
    await pods.crash(victim)
    waiting = asyncio.create_task(pods.recovered(victim, timeout_seconds=5.0))
    await api.tell("Pod", pod(NAME, "containerd://2", restarts=1, ready=False, last=end()))
    await seen(pods, **{NAME: "containerd://2"})
    assert not waiting.done()
    await api.tell("Pod", pod(NAME, "containerd://2", restarts=1, last=end()))
    after = await waiting
    assert (after.name, after.identity, after.restarts) == (WEB, "container:containerd://2", 1)
    assert not api.deleted


async def test_a_pod_that_was_restarted_before_is_replaced_at_once(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    await api.tell("Pod", pod(NAME, "containerd://2", restarts=1, last=end()))
    await seen(pods, **{NAME: "containerd://2"})
    victim = await only(pods)
    await pods.crash(victim)
    waiting = asyncio.create_task(pods.recovered(victim, timeout_seconds=5.0))
    await api.tell("Pod", pod("payment-processor-7d9-y", "containerd://9"))
    after = await waiting
    assert (after.name, after.identity) == ("web-y", "container:containerd://9")
    assert len(api.deleted) == 1  # it would be started again in 10 s only


async def test_two_victims_never_have_one_successor(api: FakeApi, pods: Pods, pod: Pod) -> None:
    for name in ("a", "b"):
        await api.tell("Pod", pod(f"p-{name}", f"containerd://{name}", restarts=1))
    await api.drop("Pod", NAME)
    await seen(pods, **{"p-a": "containerd://a", "p-b": "containerd://b"})
    victims = await pods.replicas()
    for victim in victims:
        await pods.crash(victim)
    waiting = [
        asyncio.create_task(pods.recovered(victim, timeout_seconds=5.0)) for victim in victims
    ]
    await api.tell("Pod", pod("p-relay", "containerd://r", role="relay"))  # of another role
    await api.tell("Pod", pod("p-c", "containerd://c"))
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    await api.tell("Pod", pod("p-d", "containerd://d"))
    after = {one.name for one in await asyncio.gather(*waiting)}
    assert after == {"web-c", "web-d"}


async def test_a_pod_that_was_there_before_is_nobodys_successor(
    api: FakeApi, pods: Pods, pod: Pod
) -> None:
    await api.tell("Pod", pod("p-old", "containerd://old"))
    await seen(pods, **{NAME: "containerd://1", "p-old": "containerd://old"})
    victim = next(one for one in await pods.replicas() if one.name == WEB)
    await pods.crash(victim)
    await api.drop("Pod", NAME)
    begun = time.monotonic()
    with pytest.raises(ClusterError, match="was not ready again within 0 s"):
        await pods.recovered(victim, timeout_seconds=0.3)
    assert time.monotonic() - begun < 5


# ---------------------------------------------------------------------- freezing


async def test_thaw_is_harmless_when_it_has_ended_since(
    api: FakeApi, pods: Pods, pod: Pod, killer: Killer
) -> None:
    victim = await only(pods)
    await pods.freeze(victim)
    await pods.thaw(victim)
    assert [signal for _, signal in killer.commands] == ["STOP", "CONT"]
    await api.tell("Pod", pod(NAME, "containerd://1", state={"terminated": end()}))
    await pods.watch.until(lambda: not replica_of(pods.watch.now[NAME]).ready or None, 5.0)
    await pods.thaw(victim)
    await api.tell("Pod", pod(NAME, "containerd://2", restarts=1, last=end()))
    await seen(pods, **{NAME: "containerd://2"})
    await pods.thaw(victim)
    await api.drop("Pod", NAME)
    await seen(pods)
    await pods.thaw(victim)
    assert len(killer.commands) == 2


async def test_freeze_without_a_shared_namespace_is_unavailable(pods: Pods, killer: Killer) -> None:
    killer.answer = b"\2no shared PID namespace\n"
    with pytest.raises(ClusterError, match=r"freeze: unavailable: .*no shared PID namespace"):
        await pods.freeze(await only(pods))
