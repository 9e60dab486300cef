"""The traffic of a run in a cluster: Locust in pods, their histories copied as they are written.

A swarm pod outlives its Locust, so that its history can be fetched whole; then it is deleted. A
worker that dies has told what it had sent until then, and the run is unknown.
"""

import asyncio
import contextlib
import copy
import dataclasses
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from cluster.kube import manifests
from cluster.kube.channels import execute
from cluster.kube.clock import ClockOffset, measure
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.mirror import Mirror
from cluster.kube.watch import PodWatch, status_of, stuck
from loadtests.swarm import ENDED_FILE, OPEN_FILE, SwarmPlan
from results.errors import ClusterError, HarnessError
from results.run_folder import RunFolder
from scenarios.engine.plan import ClusterTarget

CONTAINER = "swarm"
MASTER, WORKER = "swarm-master", "swarm-worker"  # as they ship
RECORDS, TEMPLATES = Path("/records"), Path("/templates")
TEMPLATES_NAME = "swarm-templates"  # of the ConfigMap
START_SECONDS = 120.0
EXEC_SECONDS = 15.0
DRAIN_SECONDS = 60.0
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class SwarmPod:
    """One pod of the swarm, and copies of what it writes."""

    gateway: Gateway
    watch: PodWatch
    folder: RunFolder
    name: str
    copies: list[Mirror] = field(default_factory=list)

    @property
    def ended(self) -> Path:
        """Is there once its Locust has ended, and says how."""
        return self.folder.logs / f"{self.name}.ended.jsonl"

    @property
    def alive(self) -> bool:
        """Whether its container runs."""
        pod = self.watch.now.get(self.name)
        return pod is not None and "running" in status_of(pod, CONTAINER).get("state", {})

    async def running(self) -> None:
        """Wait until it runs; ClusterError, saying why, when it does not."""

        def look() -> bool | None:
            pod = self.watch.now.get(self.name)
            if pod is not None and (why := stuck(pod)):
                raise ClusterError(f"The swarm does not start: {why}.")
            return self.alive or None

        if await self.watch.until(look, START_SECONDS) is None:
            raise ClusterError(f"{self.name} did not start within {START_SECONDS:.0f} s.")

    async def copy(self, stack: AsyncExitStack, clock: ClockOffset) -> None:
        """Copy its history, and how it ended, as they are written.

        ClusterError when it has another clock than the rest of the harness.
        """
        if (await measure(self.gateway, self.name, CONTAINER)).boot_id != clock.boot_id:
            raise ClusterError(
                f"{self.name} runs on another node than the wire, so their records have no common "
                "clock. Keep its podAffinity, or give that node room for it."
            )
        history = self.folder.path / f"history-{self.name.rpartition('-')[2]}.jsonl"
        for remote, local in (("history-*.jsonl", history), (ENDED_FILE, self.ended)):
            mirror = Mirror(
                self.gateway, self.name, CONTAINER, str(RECORDS / remote), local, clock.shift_ns
            )
            self.copies.append(await stack.enter_async_context(mirror))

    async def finish(self) -> None:
        """No more orders than were asked for."""
        with contextlib.suppress(ClusterError):  # one that is gone sends nothing anyway
            await execute(
                self.gateway, self.name, CONTAINER, ("rm", "-f", str(RECORDS / OPEN_FILE)),
                timeout_seconds=EXEC_SECONDS,
            )  # fmt: skip

    async def delete(self) -> None:
        """Keep its log, and delete it."""
        with contextlib.suppress(ClusterError):
            log = await self.gateway.logs(self.name, CONTAINER, tail_lines=2_000)
            (self.folder.logs / f"locust-{self.name}.log").write_text(log, encoding="utf-8")
        await self.gateway.delete("Pod", self.name, grace_seconds=1)


class PodSwarm:
    """All sending pods of a run; with more than one, a master that starts and ends them."""

    def __init__(self, folder: RunFolder, pods: list[SwarmPod]) -> None:
        self._folder = folder
        self._pods = pods
        self._stack = AsyncExitStack()

    @classmethod
    async def start(
        cls, gateway: Gateway, watch: PodWatch, folder: RunFolder, plan: SwarmPlan, *,
        run: str, target: ClusterTarget, clock: ClockOffset,
    ) -> "PodSwarm":  # fmt: skip
        """Create the pods, and copy their histories from the first line on."""
        objects = list(pods_of(plan, run=run, target=target))
        names = [one["metadata"]["name"] for one in objects if one["kind"] == "Pod"]
        swarm = cls(folder, [SwarmPod(gateway, watch, folder, name) for name in names])
        try:
            for manifest in objects:
                await gateway.create(manifest)
            for pod in swarm._pods:
                await pod.running()
                await pod.copy(swarm._stack, clock)
        except BaseException:
            await swarm.stop()
            raise
        return swarm

    async def wait(self, *, timeout_seconds: float) -> None:
        """Until all orders and their retries are done, and every history is here."""
        deadline = time.monotonic() + timeout_seconds
        while left := [pod for pod in self._pods if pod.alive and not pod.ended.exists()]:
            if time.monotonic() >= deadline:
                names = ", ".join(pod.name for pod in left)
                raise HarnessError(f"{names} did not end within {timeout_seconds:.0f} s.")
            await asyncio.sleep(LOOK_SECONDS)
        for pod in self._pods:
            if pod.alive:
                for mirror in pod.copies:
                    await mirror.drained(timeout_seconds=DRAIN_SECONDS)
            if not pod.ended.exists():
                self._lost(f"the sending pod {pod.name} ended before its traffic did")
            elif status := msgspec.json.decode(pod.ended.read_bytes())["status"]:
                self._lost(f"Locust ended with status {status} in {pod.name}: see its log")

    async def finish(self) -> None:
        """Let it end: no more orders than were asked for."""
        await asyncio.gather(*(pod.finish() for pod in self._pods))

    async def stop(self) -> None:
        """Keep the logs, and delete the pods."""
        await self._stack.aclose()
        await asyncio.gather(*(pod.delete() for pod in self._pods))

    def _lost(self, why: str) -> None:
        """What was recorded is judged all the same, and never as valid."""
        manifest = self._folder.read_manifest()
        self._folder.write_manifest(
            replace(manifest, controller_lost=manifest.controller_lost or why)
        )


def pods_of(plan: SwarmPlan, *, run: str, target: ClusterTarget) -> Iterator[Manifest]:
    """The swarm's objects as they ship, with what this run is to send: the master first.

    Templates of bodies are files of the runner's machine: a ConfigMap takes them along.
    """
    shipped = manifests.load(manifests.FOLDER / "swarm")
    if texts := templates_of(plan):
        yield config_map(texts, run, target)
        shipped = [mounted(one) if one["kind"] == "Pod" else one for one in shipped]
    inside = {name: TEMPLATES / file for name, (file, _) in texts.items()}
    there = dataclasses.replace(
        plan, history=RECORDS, payload=inside.get("payload"),
        create_payload=inside.get("create_payload"), cancel_payload=inside.get("cancel_payload"),
    ).arguments()  # fmt: skip
    hosts = ("--allow-host", *(urlsplit(url).hostname or "" for url in plan.targets.values()))
    if target.workers > 1:
        for manifest in shipped:
            if manifest["metadata"]["name"] == MASTER:
                arguments = (*there, *hosts, "--master", "--expect-workers", str(target.workers))
                yield own(manifest, MASTER, run, target, arguments, extend=False)
        arguments = ("--worker", "--master-host", MASTER, "--history", str(RECORDS), *hosts)
    else:
        arguments = (*there, *hosts)
    worker = next(one for one in shipped if one["metadata"]["name"] == WORKER)
    for number in range(target.workers):
        yield own(worker, f"swarm-{number}", run, target, arguments, extend=plan.extend)


def templates_of(plan: SwarmPlan) -> dict[str, tuple[str, str]]:
    """Of each body that has a template: what it is called in a pod, and its text."""
    files = {
        "payload": plan.payload, "create_payload": plan.create_payload,
        "cancel_payload": plan.cancel_payload,
    }  # fmt: skip
    return {
        name: (f"{name.replace('_', '-')}{file.suffix}", file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file is not None
    }


def config_map(
    texts: dict[str, tuple[str, str]], run: str, target: ClusterTarget
) -> Manifest:  # fmt: skip
    """What the sending pods read their templates from."""
    metadata: Manifest = {"name": TEMPLATES_NAME, "namespace": target.namespace}
    manifests.label(metadata, run)
    data = dict(texts.values())
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def mounted(pod: Manifest) -> Manifest:
    """A sending pod that has the templates."""
    manifest = copy.deepcopy(pod)
    spec = manifest["spec"]
    spec["volumes"].append({"name": "templates", "configMap": {"name": TEMPLATES_NAME}})
    container = next(one for one in spec["containers"] if one["name"] == CONTAINER)
    container["volumeMounts"].append(
        {"name": "templates", "mountPath": str(TEMPLATES), "readOnly": True}
    )
    return manifest


def own(
    shipped: Manifest, name: str, run: str, target: ClusterTarget, arguments: tuple[str, ...], *,
    extend: bool,
) -> Manifest:  # fmt: skip
    """A shipped object as one of this run's; a pod's Locust gets its arguments."""
    manifest = copy.deepcopy(shipped)
    manifest["metadata"].update(name=name, namespace=target.namespace)
    manifests.label(manifest["metadata"], run)
    if manifest["kind"] == "Pod":
        manifests.set_image(manifest["spec"], target.image)
        manifests.set_requests(manifest["spec"], target.requests)
        container = next(one for one in manifest["spec"]["containers"] if one["name"] == CONTAINER)
        more = ("--extend",) if extend else ()
        container["args"] = [*more, "--", *arguments]
    return manifest
