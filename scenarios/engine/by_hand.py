"""What a run deploys, without a run: `up` leaves it standing, `ui` sends to it, `down` removes it.

No controller takes the wire, so it only forwards and traces. The folder of an `up` holds a journal
and nothing else of a run. `heal` alone leaves it standing: `down` has it healed by its name.

Limits: one `up` for each namespace, as a Lease says. Nobody watches it: what ends stays ended, if
Kubernetes does not start it again.
"""

import secrets
from contextlib import AsyncExitStack
from pathlib import Path

from cluster.child_logs import ChildLogs
from cluster.heal import heal
from cluster.journal import Journal, read_journal
from cluster.kube import manifests
from cluster.kube.gateway import Gateway
from cluster.kube.heal import left_behind
from cluster.kube.installation import Installation
from cluster.kube.kinds import Manifest
from cluster.kube.permissions import require_permitted
from cluster.kube.tunnel import Tunnel
from cluster.kube.watch import PodWatch
from loadtests.swarm import SwarmPlan
from results.errors import ClusterError, ConfigError
from results.footprint import BY_HAND, Deployed
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig, find_config, load_config
from scenarios.engine.plan import ClusterTarget, RunPlan
from scenarios.engine.pod_objects import drawn_values, manifests_of, relays, settings
from scenarios.engine.pod_stand import (
    TARGET,
    Naming,
    harness_up,
    replicas_ready,
)
from scenarios.engine.pod_swarm import RECORDS, WORKER, SwarmPod, own
from scenarios.engine.progress import progress
from scenarios.engine.scenario import Scenario, Traffic
from scenarios.engine.show import consoles, pick_strategy
from scenarios.engine.stand import Watch, apply_schema

PAGE_PORT = 8089
PAGE_POD = "swarm-page"
RETRIES = 3


async def up(
    target: ClusterTarget, strategy: str | None, replicas: int, config_path: Path | None, runs: Path
) -> int:
    """Deploy, and say how to reach it."""
    config = load_config(find_config(config_path))
    if config.kubernetes is not None:
        raise ConfigError(
            f"The Deployment {config.kubernetes.deployment} that onceproof.toml names stands "
            "already: `up` deploys what is not there. `onceproof run` judges it."
        )
    plan = RunPlan(
        name="by hand", scenario=Scenario(title="By hand", replicas=replicas), config=config,
        strategy=pick_strategy(config, strategy), provider="honours", seed=0, runs=runs,
        cluster=target,
    )  # fmt: skip
    console, aside = consoles()
    with progress(aside, f"up × {plan.strategy}") as watch:
        await deployed(plan, target, watch)
    kubectl = f"kubectl --namespace {target.namespace}"
    for line in (
        f"{config.service.name} ({plan.strategy}) stands in the namespace {target.namespace}.",
        f"the service:  {kubectl} port-forward service/{manifests.SERVICE} 3000",
        f"its secret:   {kubectl} get secret {manifests.NAME} "
        "-o go-template='{{index .data \"shopify-secret\" | base64decode}}'",
        f"its database: {kubectl} port-forward postgres-0 5432",
        f"traffic:      onceproof ui --namespace {target.namespace}",
        f"remove it:    onceproof down --namespace {target.namespace}",
    ):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return 0


async def deployed(plan: RunPlan, target: ClusterTarget, watch: Watch) -> None:
    """All of it up and ready; nothing of it left where that fails."""
    async with AsyncExitStack() as stack:
        gateway = await Gateway.connect(target.context, target.namespace)
        await stack.enter_async_context(gateway)
        await require_permitted(gateway, (), "distinct_ids")
        run = secrets.token_hex(6)
        folder = RunFolder(plan.runs / f"{BY_HAND}{target.namespace}-{run}")
        folder.logs.mkdir(parents=True)
        journal = stack.enter_context(Journal(folder.journal))
        values = drawn_values(plan)
        logs = ChildLogs(folder.logs, tuple(values.values()))
        stack.callback(logs.blot)
        installation = Installation(gateway, run, journal)
        watch(f"claiming namespace {target.namespace} of {gateway.access.context}")
        await installation.claim()
        try:
            harness_objects, service = manifests_of(plan, target, run)
            watch("deploying Postgres, wire and witness")
            await installation.apply([*settings(plan, installation, values), *harness_objects])
            harness = await harness_up(stack, installation, Naming(), values["postgres-password"])
            await apply_schema(plan.config, harness.postgres.dsn, journal, logs)
            watch(f"deploying {plan.scenario.replicas} replicas of {plan.config.service.name}")
            await installation.apply(service)
            await replicas_ready(harness.pods, plan.scenario.replicas + relays(service))
        except BaseException:
            watch("removing what was deployed")
            await installation.remove()
            raise


def left_standing(runs: Path, namespace: str) -> dict[Path, Deployed]:
    """What `up` left in a namespace: the folder, and what its journal names."""
    return {
        path.parent: left
        for path in sorted(runs.glob(f"{BY_HAND}*/journal.jsonl"))
        for left in left_behind(read_journal(path))
        if left.namespace == namespace
    }


def required(runs: Path, namespace: str) -> dict[Path, Deployed]:
    """The same; ConfigError when there is nothing."""
    if found := left_standing(runs, namespace):
        return found
    raise ConfigError(
        f"Nothing that `onceproof up` made stands in the namespace {namespace}, as far as "
        f"{runs} tells. Name the one of your `up` with --namespace, or its --runs."
    )


async def down(namespace: str, runs: Path) -> int:
    """Remove what `up` left; 255 if something stays."""
    console, _ = consoles()
    healed = True
    for folder in required(runs, namespace):
        report = await heal(runs, run=folder)
        for what, names in (("removed", report.removed), ("needs you", report.wrong)):
            for name in names:
                console.print(f"{what}: {name}", soft_wrap=True, markup=False)
        healed = healed and report.healed
    return 0 if healed else 255


async def page(target: ClusterTarget, config_path: Path | None, runs: Path) -> int:
    """Locust's page in front of what `up` left, until Ctrl-C."""
    config = load_config(find_config(config_path))
    (folder, left), *_ = required(runs, target.namespace).items()
    console, aside = consoles()
    async with AsyncExitStack() as stack:
        context = target.context or (None if left.context == "in-cluster" else left.context)
        gateway = await Gateway.connect(context, target.namespace)
        await stack.enter_async_context(gateway)
        pods = PodWatch(gateway, f"{manifests.RUN}={left.run}")
        await stack.enter_async_context(pods)
        pod = SwarmPod(gateway, pods, RunFolder(folder), PAGE_POD)
        with progress(aside, "ui") as watch:
            watch("starting a pod with Locust's page")
            await gateway.create(page_pod(config, left.run, target))
            stack.push_async_callback(pod.delete)
            await pod.running()

        async def name() -> str:
            return PAGE_POD

        tunnel = await Tunnel.open(gateway, name, PAGE_PORT)
        stack.push_async_callback(tunnel.close)
        console.print(f"http://127.0.0.1:{tunnel.port} until Ctrl-C", soft_wrap=True)
        if await pods.until(lambda: not pod.alive or None, float(10**9)) is not None:
            raise ClusterError(f"The pod {PAGE_POD} ended. Its log is in {folder / 'logs'}.")
    return 0


def page_pod(config: ServiceConfig, run: str, target: ClusterTarget) -> Manifest:
    """A sending pod that waits for a person."""
    traffic, service = Traffic(), config.service
    plan = SwarmPlan(
        orders=traffic.orders, per_second=traffic.per_second, copies=traffic.duplicates.copies,
        ids=traffic.duplicates.ids, seed=secrets.randbelow(10**6), retries=RETRIES,
        retry_time_scale=traffic.retry_time_scale, webhook=service.webhook,
        create_webhook=service.create_webhook or "", users=traffic.users,
        targets={"service": TARGET}, history=RECORDS,
    )  # fmt: skip
    arguments = [one for one in plan.arguments() if one not in ("--headless", "--only-summary")]
    shipped = manifests.load(manifests.FOLDER / "swarm")
    worker = next(one for one in shipped if one["metadata"]["name"] == WORKER)
    more = ("--allow-host", manifests.SERVICE, "--web-port", str(PAGE_PORT))
    return own(worker, PAGE_POD, run, target, (*arguments, *more), extend=False)
