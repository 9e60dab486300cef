"""Which new pod is whose next incarnation, when several replicas go at one time."""

from typing import Any

import pytest

from cluster.kube.pods import Pods, replica_of
from cluster.place import Replica
from results.errors import ClusterError


class PlayedWatch:
    """Pods by name, as the test says; nothing changes while somebody waits."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {}
        self.gone: dict[str, Any] = {}

    async def until(self, look: Any, _: float) -> Any:
        return look()

    def comes(self, name: str, second: int, *, ready: bool = True) -> Replica:
        status = "True" if ready else "False"
        self.now[f"pp-{name}"] = {
            "metadata": {"name": f"pp-{name}", "uid": name, "labels": {"onceproof.dev/role": "web"},
                         "creationTimestamp": f"2026-01-01T00:00:{second:02}Z"},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": status}],
                "containerStatuses": [{"name": "app", "containerID": name, "restartCount": 0,
                                       "state": {"running": {}}}],
            },
        }  # fmt: skip
        return replica_of(self.now[f"pp-{name}"])

    def leaves(self, name: str) -> None:
        self.now[f"pp-{name}"]["metadata"]["deletionTimestamp"] = "now"

    def goes(self, name: str) -> None:
        self.leaves(name)
        self.gone[f"pp-{name}"] = self.now.pop(f"pp-{name}")


@pytest.fixture
def watch() -> PlayedWatch:
    return PlayedWatch()


@pytest.fixture
def pods(watch: PlayedWatch) -> Pods:
    anything: Any = watch
    gateway: Any = type("Gateway", (), {"namespace": "chaos"})
    return Pods(gateway, anything)


async def next_of(pods: Pods, victim: Replica) -> str:
    return (await pods.recovered(victim, timeout_seconds=0.0)).name


async def test_the_first_to_go_has_the_first_to_come(pods: Pods, watch: PlayedWatch) -> None:
    first, second = watch.comes("a", 1), watch.comes("b", 1)
    pods.leaves(first)
    watch.goes("a")
    watch.comes("a2", 2)
    pods.leaves(second)
    watch.goes("b")
    watch.comes("b2", 3)
    assert await next_of(pods, first) == "web-a2"
    assert await next_of(pods, second) == "web-b2"


async def test_nobody_takes_a_younger_one_while_the_older_is_not_ready(
    pods: Pods, watch: PlayedWatch
) -> None:
    first, second = watch.comes("a", 1), watch.comes("b", 1)
    pods.leaves(first)
    watch.goes("a")
    watch.comes("a2", 2, ready=False)
    pods.leaves(second)
    watch.goes("b")
    watch.comes("b2", 3)
    with pytest.raises(ClusterError, match="web-a was not ready again"):
        await next_of(pods, first)
    assert await next_of(pods, second) == "web-b2"


@pytest.mark.parametrize("how", ["leaves", "goes"])
async def test_a_successor_that_is_a_victim_itself_leaves_its_own_to_the_next(
    pods: Pods, watch: PlayedWatch, how: str
) -> None:
    first = watch.comes("a", 1)
    pods.leaves(first)
    watch.goes("a")
    second = watch.comes("a2", 2)
    pods.leaves(second)
    getattr(watch, how)("a2")
    watch.comes("a3", 3)
    assert await next_of(pods, first) == "web-a2"
    assert await next_of(pods, second) == "web-a3"


async def test_who_went_before_is_nobody_s_successor(pods: Pods, watch: PlayedWatch) -> None:
    watch.comes("z", 9)
    watch.goes("z")
    first = watch.comes("a", 1)
    pods.leaves(first)
    watch.goes("a")
    with pytest.raises(ClusterError, match="web-a was not ready again"):
        await next_of(pods, first)
