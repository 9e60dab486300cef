"""A run whose runner is a Job of the cluster, under an account that may do what the run needs.

From far away the API server's answers come late, and a laptop that is closed ends a run: a runner
beside the pods has neither. Here are its account (the Role of `onceproof rbac`), its Job, and its
folder, which comes back. The account and the Job carry a label of their own, and both labels stand
in the journal here, so that `onceproof heal` finds everything when we are killed; the runner, asked
to end, cleans up by itself before.

Limits: the service that ships with the image; no scenario that needs rights on nodes, which would
outlive the namespace.
"""

import asyncio
import contextlib
import secrets
import tarfile
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec
from msgspec.structs import replace

from cluster.journal import Journal
from cluster.kube import manifests
from cluster.kube.channels import execute, follow
from cluster.kube.gateway import Gateway
from cluster.kube.installation import Installation, remove_run
from cluster.kube.kinds import Manifest
from cluster.kube.permissions import needed, roles
from cluster.kube.watch import PodWatch, status_of, stuck, terminations
from results.errors import ClusterError, ConfigError
from results.footprint import Deployed, Undeployed
from results.run_folder import RunFolder
from scenarios.engine.config import OWN_CONFIG
from scenarios.engine.plan import ClusterTarget, RunPlan, opened
from scenarios.engine.pod_runner import ENDED, FETCHED
from scenarios.engine.stand import Watch

RUNNER = "onceproof-runner"
RECORDS = "/records"
CONTAINER = "runner"
START_SECONDS = 120.0
END_SECONDS = 100.0  # of a runner that was asked to end, with its cleaning up
EXEC_SECONDS = 15.0
FETCH_SECONDS = 300.0
FETCH_TRIES = 3
LOOK_SECONDS = 1.0
FOLDER_MAX_BYTES = 4 << 30  # packed
BROKEN = (ClusterError, TimeoutError, tarfile.TarError, EOFError, OSError)  # fetched again
LEAVE = "import os,signal;os.kill(1,signal.SIGINT)"
LOOK = (
    f"import pathlib;p=pathlib.Path('{RECORDS}/{ENDED}');print(p.read_text() if p.exists() else '')"
)
PACK = (
    "import os,sys,tarfile;r='/records/runs';n=os.path.realpath(r+'/latest');"
    "t=tarfile.open(fileobj=sys.stdout.buffer,mode='w|gz');t.add(n,'.');t.close()"
)


async def run_in_cluster(
    plan: RunPlan, scenario: str, watch: Watch
) -> tuple[RunFolder, int]:  # fmt: skip
    """Run it there; its folder, which is here then, and the Job's exit status."""
    target = plan.cluster
    assert target is not None
    refuse(plan)
    async with opened(plan) as folder, AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.journal))
        gateway = await Gateway.connect(target.context, target.namespace)
        await stack.enter_async_context(gateway)
        inner = secrets.token_hex(6)
        installation = Installation(gateway, secrets.token_hex(6), journal, alone=False)
        watch(f"claiming namespace {target.namespace} of {gateway.access.context}")
        await installation.claim()
        stack.push_async_callback(left_by_runner, gateway, inner, journal)
        stack.push_async_callback(installation.remove)  # before: the runner goes with it
        journal.append(
            Deployed(
                context=gateway.access.context, namespace=target.namespace, run=inner,
                made_namespace=False, at_ns=time.monotonic_ns(),
            )
        )  # fmt: skip
        await installation.apply(objects(plan, target, scenario, installation.run, inner))
        pods = PodWatch(gateway, f"{manifests.RUN}={installation.run}")
        await stack.enter_async_context(pods)
        runner = Runner(gateway, pods)
        watch("starting the runner")
        await runner.started()
        status = await runner.ended(watch)
        watch("fetching the run's folder")
        await runner.fetch(folder, journal)
        return folder, await runner.leave(status)


async def left_by_runner(gateway: Gateway, inner: str, journal: Journal) -> None:
    """Remove what the runner itself did not: nothing, unless it was killed."""
    await remove_run(gateway, inner, made_namespace=False)
    journal.append(Undeployed(run=inner, at_ns=time.monotonic_ns()))


def refuse(plan: RunPlan) -> None:
    """ConfigError for what a runner in the cluster could not do."""
    if plan.config.folder != OWN_CONFIG.parent or plan.config.kubernetes:
        raise ConfigError(
            "--in-cluster runs the service of the image. Leave it out to run one that an "
            "onceproof.toml of yours describes."
        )
    kinds = {fault.kind for fault in plan.scenario.faults}
    if any(one.everywhere for one in needed(kinds, make_namespace=False)):
        raise ConfigError(
            f"The scenario {plan.name} needs rights on nodes, which the runner's account is not "
            "given. Leave out --in-cluster."
        )


def objects(
    plan: RunPlan, target: ClusterTarget, scenario: str, run: str, inner: str
) -> list[Manifest]:
    """The account, the scenario where it is a file of the user's, and the Job."""
    kinds = {fault.kind for fault in plan.scenario.faults}
    made = roles(kinds, target.namespace, name=RUNNER)
    place = {"name": RUNNER, "namespace": target.namespace}
    path = Path(scenario)
    if scenario.endswith(".py"):
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": dict(place),
                     "data": {path.name: path.read_text(encoding="utf-8")}})  # fmt: skip
        scenario = f"/scenario/{path.name}"
    made.append({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": dict(place),
        "spec": {"podSelector": {"matchLabels": {"onceproof.dev/role": "runner"}},
                 "policyTypes": ["Egress"], "egress": [{}]},
    })  # fmt: skip
    made.append(job(plan, target, scenario, run, inner))
    for one in made:
        manifests.label(one["metadata"], run)
    return made


def job(plan: RunPlan, target: ClusterTarget, scenario: str, run: str, inner: str) -> Manifest:
    """The Job: one pod, once, which stays until its folder was fetched."""
    arguments = [
        "run", scenario, "--strategy", plan.strategy, "--provider", plan.provider,
        "--seed", str(plan.seed), "--runs", f"{RECORDS}/runs", "--on", "kubernetes",
        "--namespace", target.namespace, "--image", target.image,
        "--workers", str(target.workers), "--label", inner,
        *(word for slo in plan.slos for word in ("--slo", slo)),
        *(("--search",) if plan.search else ()),
    ]  # fmt: skip
    mounts = [{"name": "records", "mountPath": RECORDS}, {"name": "tmp", "mountPath": "/tmp"}]
    volumes: list[Manifest] = [{"name": "records", "emptyDir": {"sizeLimit": "8Gi"}},
                               {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}]  # fmt: skip
    if scenario.startswith("/scenario/"):
        mounts.append({"name": "scenario", "mountPath": "/scenario"})
        volumes.append({"name": "scenario", "configMap": {"name": RUNNER}})
    container = {
        "name": CONTAINER, "image": target.image, "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "scenarios.engine.pod_runner", "--records", RECORDS, "--"],
        "args": arguments, "volumeMounts": mounts,
        "env": [{"name": "COLUMNS", "value": "120"}, {"name": "MPLCONFIGDIR", "value": "/tmp"}],
        "resources": {"requests": {"cpu": "200m", "memory": "512Mi"},
                      "limits": {"cpu": "2", "memory": "2Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    # As a part of the harness it shares their node, and so their clock.
    labels = {"onceproof.dev/role": "runner", "onceproof.dev/harness": "true"}
    template: Manifest = {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": RUNNER, "enableServiceLinks": False, "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 75,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container], "volumes": volumes,
        },
    }  # fmt: skip
    manifests.label(template["metadata"], run)
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": RUNNER, "namespace": target.namespace},
        "spec": {"backoffLimit": 0, "template": template},
    }  # fmt: skip


class Runner:
    """The pod of the Job."""

    def __init__(self, gateway: Gateway, pods: PodWatch) -> None:
        self._gateway = gateway
        self._pods = pods
        self._name = ""

    async def started(self) -> None:
        """Wait until it runs; ClusterError, saying why, when it does not."""

        def look() -> str | None:
            for name, pod in self._pods.now.items():
                if why := stuck(pod):
                    raise ClusterError(f"The runner does not start: {why}.")
                if status_of(pod, CONTAINER).get("state", {}).keys() & {"running", "terminated"}:
                    return name
            return None

        found = await self._pods.until(look, START_SECONDS)
        if found is None:
            raise ClusterError(f"The runner did not start within {START_SECONDS:.0f} s.")
        self._name = found

    async def ended(self, watch: Watch) -> int:
        """Wait until its run has ended, telling what it says meanwhile; the exit status.

        Cancelled, it has the runner end and clean up before.
        """
        said = ""
        try:
            while (status := await self._status()) is None:
                with contextlib.suppress(ClusterError):
                    log = await self._gateway.logs(self._name, CONTAINER, tail_lines=1)
                    if log.strip() and log != said:
                        said = log
                        watch(log.strip().rpartition(" · ")[2])
                await asyncio.sleep(LOOK_SECONDS)
        except asyncio.CancelledError:
            watch("asking the runner to end and to clean up")
            await self._end()
            raise
        return status

    async def _status(self) -> int | None:
        """How its run ended; None as long as it has not. ClusterError when its pod has gone."""
        pod = self._pods.now.get(self._name)
        if pod is None or terminations(pod, CONTAINER):
            raise ClusterError("The runner's pod ended before its folder was fetched.")
        try:
            answer = await execute(
                self._gateway, self._name, CONTAINER, ("python", "-c", LOOK),
                timeout_seconds=EXEC_SECONDS,
            )  # fmt: skip
        except ClusterError:
            return None  # asked again; what has gone the watch tells
        text = answer.stdout.strip()
        return int(msgspec.json.decode(text)["status"]) if answer.status == 0 and text else None

    async def _end(self) -> None:
        """SIGINT, and wait for its cleaning up as long as that may take."""
        deadline = time.monotonic() + END_SECONDS
        with contextlib.suppress(ClusterError):
            await execute(
                self._gateway, self._name, CONTAINER, ("python", "-c", LEAVE),
                timeout_seconds=EXEC_SECONDS,
            )  # fmt: skip
            while time.monotonic() < deadline:
                if await self._status() is not None:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def fetch(self, folder: RunFolder, journal: Journal) -> None:
        """Have its run's folder here; ClusterError, with its last words, when it has none."""
        for _ in range(FETCH_TRIES):
            with tempfile.TemporaryFile() as packed, contextlib.suppress(*BROKEN):
                async with asyncio.timeout(FETCH_SECONDS):
                    async for chunk in follow(
                        self._gateway, self._name, CONTAINER, ("python", "-c", PACK)
                    ):
                        packed.write(chunk)
                        if packed.tell() > FOLDER_MAX_BYTES:
                            raise ClusterError("The run's folder is larger than 4 GiB.")
                packed.seek(0)
                await asyncio.to_thread(unpack, packed, folder, journal)
                return
        log = await self._gateway.logs(self._name, CONTAINER, tail_lines=5)
        raise ClusterError(f"The runner's folder could not be fetched. It said: {log.strip()}")

    async def leave(self, status: int) -> int:
        """Let it go; the exit status of its container, which is the Job's."""
        await execute(
            self._gateway, self._name, CONTAINER, ("touch", f"{RECORDS}/{FETCHED}"),
            timeout_seconds=EXEC_SECONDS,
        )  # fmt: skip

        def look() -> int | None:
            pod = self._pods.now.get(self._name) or self._pods.gone.get(self._name, {})
            ends = terminations(pod, CONTAINER)
            return int(ends[0]["exitCode"]) if ends else None

        ended = await self._pods.until(look, EXEC_SECONDS)
        return status if ended is None else ended


def unpack(packed: IO[bytes], folder: RunFolder, journal: Journal) -> None:
    """Put the files into a run's folder; its journal goes on with the runner's."""
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        members = archive.getmembers()  # all of it was read, and is whole
        if not any(PurePosixPath(one.name) == PurePosixPath("manifest.json") for one in members):
            raise tarfile.TarError("no manifest")
        for member in members:
            name = PurePosixPath(member.name)
            if not member.isfile() or name.is_absolute() or ".." in name.parts:
                continue
            file = archive.extractfile(member)
            assert file is not None
            if str(name) == folder.journal.name:
                with folder.journal.open("ab") as ours:
                    ours.write(file.read())
                continue
            path = folder.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as ours:
                while part := file.read(1 << 20):
                    ours.write(part)
    folder.write_manifest(replace(folder.read_manifest(), run_id=folder.path.name))
