"""The traffic of a run in a cluster: Locust in pods, their histories copied as they are written.

A swarm pod outlives its Locust, so that its history can be fetched whole; then it is deleted. A
worker that dies has told what it had sent until then, and the run is unknown.
"""

import asyncio
import copy
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from cluster.kube import manifests
from cluster.kube.channels import execute
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.mirror import Mirror
from cluster.kube.watch import PodWatch, status_of, stuck
from loadtests.swarm import ENDED_FILE, OPEN_FILE, SwarmPlan
from results.errors import ClusterError, HarnessError
from results.run_folder import RunFolder

CONTAINER = "swarm"
RECORDS = Path("/records")
START_SECONDS = 120.0
EXEC_SECONDS = 15.0
DRAIN_SECONDS = 60.0
LOOK_SECONDS = 0.1


class PodSwarm:
    """One sending pod."""

    def __init__(self, gateway: Gateway, watch: PodWatch, folder: RunFolder, name: str) -> None:
        self._gateway = gateway
        self._watch = watch
        self._folder = folder
        self._name = name
        self._ended = folder.logs / f"{name}.ended.jsonl"
        self._stack = AsyncExitStack()
        self._mirrors: list[Mirror] = []

    @classmethod
    async def start(
        cls, gateway: Gateway, watch: PodWatch, folder: RunFolder, plan: SwarmPlan, *,
        run: str, image: str, shift_ns: int,
    ) -> "PodSwarm":  # fmt: skip
        """Create the pod, and copy its history from the first line on."""
        name = "swarm-0"
        swarm = cls(gateway, watch, folder, name)
        await gateway.create(pod_manifest(plan, name, gateway.namespace, run=run, image=image))
        try:
            await swarm._running()
            for remote, local in (
                ("history-*.jsonl", folder.path / "history-0.jsonl"),
                (ENDED_FILE, swarm._ended),
            ):
                mirror = Mirror(gateway, name, CONTAINER, str(RECORDS / remote), local, shift_ns)
                swarm._mirrors.append(await swarm._stack.enter_async_context(mirror))
        except BaseException:
            await swarm.stop()
            raise
        return swarm

    async def wait(self, *, timeout_seconds: float) -> None:
        """Until all orders and their retries are done, and their history is here."""
        deadline = time.monotonic() + timeout_seconds
        while not self._ended.exists():
            if not self._alive():
                raise HarnessError(f"The sending pod {self._name} ended before its traffic did.")
            if time.monotonic() >= deadline:
                raise HarnessError(f"Locust did not end within {timeout_seconds:.0f} s.")
            await asyncio.sleep(LOOK_SECONDS)
        for mirror in self._mirrors:
            await mirror.drained(timeout_seconds=DRAIN_SECONDS)
        status = msgspec.json.decode(self._ended.read_bytes())["status"]
        if status:
            raise HarnessError(f"Locust ended with status {status}. Its log: {self._log}.")

    async def finish(self) -> None:
        """Let it end: no more orders than were asked for."""
        await execute(
            self._gateway, self._name, CONTAINER, ("rm", "-f", str(RECORDS / OPEN_FILE)),
            timeout_seconds=EXEC_SECONDS,
        )  # fmt: skip

    async def stop(self) -> None:
        """Keep its log, and delete it."""
        await self._stack.aclose()
        log = await self._gateway.logs(self._name, CONTAINER, tail_lines=2_000)
        self._log.write_text(log, encoding="utf-8")
        await self._gateway.delete("Pod", self._name)

    @property
    def _log(self) -> Path:
        return self._folder.logs / f"locust-{self._name}.log"

    def _alive(self) -> bool:
        pod = self._watch.now.get(self._name)
        return pod is not None and "running" in status_of(pod, CONTAINER).get("state", {})

    async def _running(self) -> None:
        def look() -> bool | None:
            pod = self._watch.now.get(self._name)
            if pod is not None and (why := stuck(pod)):
                raise ClusterError(f"The swarm does not start: {why}.")
            return self._alive() or None

        if await self._watch.until(look, START_SECONDS) is None:
            raise ClusterError(f"The swarm did not start within {START_SECONDS:.0f} s.")


def pod_manifest(plan: SwarmPlan, name: str, namespace: str, *, run: str, image: str) -> Manifest:
    """The swarm's pod as it ships, with what this run is to send."""
    shipped = next(
        one for one in manifests.load(manifests.FOLDER / "swarm") if one["kind"] == "Pod"
    )
    pod = copy.deepcopy(shipped)
    pod["metadata"].update(name=name, namespace=namespace)
    manifests.label(pod["metadata"], run)
    manifests.set_image(pod["spec"], image)
    container = next(one for one in pod["spec"]["containers"] if one["name"] == CONTAINER)
    hosts = ("--allow-host", manifests.SERVICE)
    there = replace(plan, history=RECORDS)
    container["command"] = [
        "python", "-m", "loadtests.pod", "--records", str(RECORDS),
        *(("--extend",) if plan.extend else ()), "--", *there.arguments(), *hosts,
    ]  # fmt: skip
    container.pop("args", None)
    return pod
