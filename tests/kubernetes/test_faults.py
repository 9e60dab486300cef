"""Each fault of pods once on a real cluster, and the evidence that the cluster gives for it.

The service of the local overlay runs without traffic: its readiness probes keep one connection to
the database open, which is what a ghost is seen by. The API server is asked here by kubectl, too,
so that what the code under test believes is not all there is.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.faults import (
    Drain,
    Evict,
    Fault,
    FaultContext,
    Freeze,
    GhostPod,
    Oom,
    RollingRestart,
    Rollout,
    Scale,
    perform,
)
from cluster.journal import Journal, read_journal
from cluster.kube.administrator import PodAdministrator
from cluster.kube.changes import Changes, left_changed
from cluster.kube.gateway import Gateway
from cluster.kube.manifests import FOLDER, NAME, PART_OF, SERVICE, set_image
from cluster.kube.pods import Pods
from cluster.kube.tunnel import Tunnel
from cluster.kube.watch import PodWatch
from cluster.wire.client import Wire
from results.errors import ClusterError
from scenarios.engine.pod_stand import Naming
from tests.kubernetes.conftest import Cluster

READY_SECONDS = 120


@dataclass(frozen=True)
class Shaken:
    context: FaultContext
    administrator: PodAdministrator
    journal: Journal
    kubectl: Cluster

    async def victim(self) -> str:
        return (await self.names())[0]

    async def names(self) -> list[str]:
        """Of the replicas that stay: one on its way out is still ready for its last seconds."""
        settled = await self.administrator.settled(timeout_seconds=READY_SECONDS)
        return [one.name for one in settled]

    def unschedulable(self) -> list[str]:
        nodes = json.loads(Cluster().kubectl("get", "nodes", "--output=json"))["items"]
        return [one["metadata"]["name"] for one in nodes if one["spec"].get("unschedulable")]


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, image: str) -> Cluster:
    text = Cluster().kubectl("kustomize", str(FOLDER / "overlays/local"))
    objects = [one for one in yaml.safe_load_all(text) if one and one["kind"] != "Namespace"]
    for one in objects:
        one["metadata"]["namespace"] = cluster.namespace
        if "template" in one.get("spec", {}):
            set_image(one["spec"]["template"]["spec"], image)
    # The web replicas come last: the wire is to know whose connections it has from the first on.
    for one in objects:
        if one["metadata"]["name"] == SERVICE and one["kind"] == "Deployment":
            one["spec"]["replicas"] = 0
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))
    for name in ("deployment/wire", "deployment/witness", "statefulset/postgres"):
        cluster.kubectl("rollout", "status", name, f"--timeout={READY_SECONDS}s",
                        seconds=READY_SECONDS + 10)  # fmt: skip
    return cluster


async def controlled(port: int) -> Wire:
    """The wire, as soon as it has noticed that the test before has let it go."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ClusterError):
                return await Wire.connect("127.0.0.1", port, "example-token")
            await asyncio.sleep(0.2)


@pytest.fixture
async def shaken(deployed: Cluster, tmp_path: Path) -> AsyncIterator[Shaken]:
    naming = Naming()
    async with (
        await Gateway.connect(None, deployed.namespace) as gateway,
        PodWatch(gateway, f"{PART_OF}={NAME}", naming.see) as watch,
    ):

        async def wire_pod() -> str:
            return next(name for name in watch.now if name.startswith("wire-"))

        tunnel = await Tunnel.open(gateway, wire_pod, 7000)
        wire = await controlled(tunnel.port)
        telling = asyncio.create_task(naming.tell(wire))
        journal = Journal(tmp_path / "run" / "journal.jsonl")
        place = Pods(gateway, watch)
        administrator = PodAdministrator(gateway, place, Changes(gateway, journal), SERVICE)
        try:
            for count in (0, 3):
                deployed.kubectl("scale", f"deployment/{SERVICE}", f"--replicas={count}")
                await administrator.settled(timeout_seconds=READY_SECONDS)
            context = FaultContext(
                place=place, journal=journal, database="", wire=wire, administrator=administrator
            )
            yield Shaken(context, administrator, journal, deployed)
        finally:
            telling.cancel()
            await wire.close()
            await tunnel.close()


MAKE: dict[str, Callable[[FaultContext, str], Fault]] = {
    "freeze": lambda context, name: Freeze(context, "1", name, 2.0),
    "oom": lambda context, name: Oom(context, "1", "blind", name),
    "evict": lambda context, name: Evict(context, "1", name),
    "ghost-pod": lambda context, name: GhostPod(context, "1", name),
    "rolling-restart": lambda context, _: RollingRestart(context, "1"),
    "rollout": lambda context, _: Rollout(context, "1"),
    "scale": lambda context, _: Scale(context, "1", 5, 1.0),
    "drain": lambda context, _: Drain(context, "1"),
}


async def test_each_fault_is_proved_and_healed(shaken: Shaken) -> None:
    for kind, make in MAKE.items():
        evidence = await perform(make(shaken.context, await shaken.victim()))
        assert evidence.complete, (kind, evidence.missing)
        if kind == "oom":
            assert evidence.facts["reason"] == "OOMKilled"
        if kind == "scale":
            assert evidence.facts["ready"] == [3, 5, 3]
        settled = await shaken.administrator.settled(timeout_seconds=READY_SECONDS)
        assert len(settled) == 3
    assert shaken.unschedulable() == []
    deployment = json.loads(shaken.kubectl.kubectl("get", "deployment", SERVICE, "--output=json"))
    assert deployment["spec"]["replicas"] == 3


async def test_a_budget_that_refuses_is_waited_out(shaken: Shaken) -> None:
    first, second = (await shaken.names())[:2]
    async with asyncio.TaskGroup() as tasks:
        both = [
            tasks.create_task(perform(Evict(shaken.context, name, name)))
            for name in (first, second)
        ]
    refusals = [task.result().facts["refusals"] for task in both]
    assert all(task.result().complete for task in both)
    assert min(refusals) == 0
    assert max(refusals) >= 1


async def test_what_a_killed_runner_left_cordoned_is_told_by_its_journal(shaken: Shaken) -> None:
    administrator = shaken.administrator
    node = administrator.node_to_lose()
    await administrator.cordon(node)
    assert shaken.unschedulable() == [node]
    left = left_changed(read_journal(shaken.journal.path))
    assert ("Node", node, "cordoned") in [one.of for one in left]
    await administrator.changes.restore_all()
    assert shaken.unschedulable() == []
    assert left_changed(read_journal(shaken.journal.path)) == []
