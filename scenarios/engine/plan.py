"""What a run is asked to be (`RunPlan`), and its folder from the first byte to the last.

The manifest is written before anything starts, with status `running`: a run that is cut short by
`kill -9` still has a folder that says what it was, and can be healed and judged.
"""

import asyncio
import dataclasses
import os
import platform
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec.structs import replace

from cluster import faults
from cluster.faults.aim import CrashPoint
from cluster.lock import RunLock
from results.errors import ClusterError, ConfigError
from results.records import FORMAT_VERSION, Manifest
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig
from scenarios.engine.scenario import (
    ONLY_IN_CLUSTERS,
    Crash,
    DbDisconnect,
    EachStatement,
    Fault,
    Freeze,
    InTransaction,
    Oom,
    Polled,
    PowerLoss,
    Scenario,
)

NAMESPACE = "onceproof"  # where nobody asks for another
NOT_IN_CLUSTERS = {"clock-skew", "power-loss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTarget:
    """Where in which cluster, and from which image."""

    context: str | None  # of the kubeconfig; None: the current one
    namespace: str
    image: str
    workers: int = 1  # sending pods; more than one have a master
    node_down: str = ""  # commands of the user's; {node} stands for a node's name
    node_up: str = ""
    requests: Mapping[str, str] | None = None  # of each container; None: as they ship
    run: str = ""  # the label of all that is deployed; "": drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One scenario, one strategy, one provider, one seed."""

    name: str
    scenario: Scenario
    config: ServiceConfig
    strategy: str
    provider: str
    seed: int
    runs: Path
    database_url: str | None = field(default=None, repr=False)  # somebody's server; None: ours
    slos: tuple[str, ...] = ()
    cluster: ClusterTarget | None = None  # None: processes of this machine
    search: bool = False  # add the short directed search through the wire

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, all of them from the printed seed."""
        return random.Random(f"{self.seed}:{purpose}")


def placed(target: ClusterTarget, config: ServiceConfig) -> ClusterTarget:
    """The target in the namespace that onceproof.toml names, unless another one was asked for."""
    if config.kubernetes and config.kubernetes.namespace and target.namespace == NAMESPACE:
        return dataclasses.replace(target, namespace=config.kubernetes.namespace)
    return target


def moment(fault: Fault) -> CrashPoint:
    """The point at which a fault strikes."""
    match fault:
        case Crash(at=InTransaction(point=point)) | Oom(at=InTransaction(point=point)):
            return point
        case Crash(at=EachStatement()):
            return "statement"
        case Crash(at=Polled()):
            return "polled"
        case Freeze() | PowerLoss() | DbDisconnect():
            return "in-transaction"
        case _:
            return "blind"


def fault_name(fault: Fault) -> str:
    """`crash:commit-dropped`, `crash:blind`, `freeze:in-transaction`, `graceful:blind`."""
    return f"{fault.kind}:{moment(fault)}"


def refuse_impossible(plan: RunPlan) -> None:
    """ConfigError for what the service does not declare, ClusterError for what is not here."""
    traffic, service = plan.scenario.traffic, plan.config.service
    for wanted, key in (
        (traffic.mix.cancelled and not service.cancel_webhook, "cancel_webhook"),
        (traffic.create == "after" and not service.create_webhook, "create_webhook"),
        (traffic.rotate_after and not service.previous_secret_from, "previous_secret_from"),
    ):
        if wanted:
            raise ConfigError(
                f"The scenario {plan.name} needs {key} under [service] in onceproof.toml. Add it, "
                "or run another scenario (`onceproof list`)."
            )
    if plan.search and plan.scenario.replicas < 2:
        raise ConfigError("--search holds one replica while another goes on: it needs two.")
    kinds = {fault.kind for fault in plan.scenario.faults}
    if plan.cluster is not None:
        if plan.config.kubernetes and traffic.rotate_after:
            raise ConfigError(
                f"The scenario {plan.name} changes the secret of the service, and of a Deployment "
                "of yours nothing but the database's URL is changed. Run another scenario."
            )
        if plan.config.kubernetes and "autoscale" in kinds:
            raise ConfigError(
                f"The scenario {plan.name} brings an autoscaler, and of a Deployment of yours "
                "nothing but the database's URL is changed. Run scaled_under_load."
            )
        if missing := kinds & NOT_IN_CLUSTERS:
            raise ClusterError(f"{', '.join(sorted(missing))}: unavailable on Kubernetes.")
        if "node-down" in kinds and not (plan.cluster.node_down and plan.cluster.node_up):
            raise ConfigError(
                "node-down: no API can take a node down. Say which commands do, with {node} for "
                "its name: --node-down COMMAND --node-up COMMAND."
            )
        return
    if not service.roles.get("web"):
        raise ConfigError(
            "onceproof.toml: service.roles.web: on processes the service is started by a command, "
            'as in web = ["node", "server.js"]. Or run it where it is: --on kubernetes.'
        )
    if missing := kinds & ONLY_IN_CLUSTERS:
        raise ConfigError(
            f"{', '.join(sorted(missing))}: only on Kubernetes, for no process of one machine has "
            f"it: `onceproof run {plan.name} --on kubernetes`."
        )
    for kind in kinds & faults.NEEDS.keys():
        there, detail = faults.NEEDS[kind]()
        if not there:
            raise ClusterError(f"{kind}: unavailable: {detail}.")


def open_folder(plan: RunPlan) -> RunFolder:
    """Create the run's folder and its manifest."""
    asked: Counter[str] = Counter()
    for fault in plan.scenario.faults:
        asked[fault_name(fault)] += fault.times
    now = datetime.now(UTC)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        run_id="",
        scenario=plan.name,
        title=plan.scenario.title,
        strategy=plan.strategy,
        provider=plan.provider if plan.config.service.provider_from else "none",
        has_witness=plan.config.service.provider_from is not None,
        seed=plan.seed,
        started_utc=now.isoformat(timespec="seconds"),
        wall_ns=time.time_ns(),
        monotonic_ns=time.monotonic_ns(),
        status="running",
        runner_pid=os.getpid(),
        thresholds=plan.scenario.needs,
        asked_faults=dict(asked),
        slos=plan.slos,
        ledger_queries=tuple(plan.config.ledger_queries()),
        environment={"python": platform.python_version(), "machine": platform.platform(),
                     "cores": os.cpu_count() or 0, "onceproof": own_version()},
    )  # fmt: skip
    return RunFolder.create(plan.runs, manifest)


def own_version() -> str:
    """The installed version, or a word for a bare checkout."""
    try:
        return version("onceproof")
    except PackageNotFoundError:
        return "checkout"


@asynccontextmanager
async def opened(plan: RunPlan) -> AsyncIterator[RunFolder]:
    """Hold the run lock, make the run's folder, and write into it how the run ended."""
    refuse_impossible(plan)
    where = "local" if plan.cluster is None else f"kubernetes-{plan.cluster.namespace}"
    with RunLock(plan.runs, where):
        folder = open_folder(plan)
        async with closing(folder):
            yield folder


@asynccontextmanager
async def closing(folder: RunFolder) -> AsyncIterator[None]:
    """Write into the manifest how the run ended."""
    status = "failed"
    try:
        yield
        status = "finished"
    except (KeyboardInterrupt, asyncio.CancelledError):
        status = "interrupted"
        raise
    finally:
        folder.write_manifest(replace(folder.read_manifest(), status=status))


def note(folder: RunFolder, **environment: object) -> None:
    """Add facts about the environment to the manifest."""
    manifest = folder.read_manifest()
    folder.write_manifest(replace(manifest, environment={**manifest.environment, **environment}))
