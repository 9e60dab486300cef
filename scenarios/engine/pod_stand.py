"""The stand of one run in a cluster: the same shape as on one machine, each part a pod.

Postgres, wire and witness come first, then the runner takes the wire, then the replicas come: so
the wire knows whose connection each is. The runner reaches them through tunnels, and the files
that they write are copied into the run's folder as they grow. All parts of the harness share one
node and thereby one clock; what another kernel than ours stamps is shifted to our clock.

Limits: the tunnels lead through the API server. If that is away for long, the wire is lost, and
the run is unknown.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from cluster.child_logs import ChildLogs
from cluster.journal import Journal
from cluster.kube import manifests
from cluster.kube.administrator import PodAdministrator
from cluster.kube.autoscaler import Autoscaler, require_metrics
from cluster.kube.changes import Changes
from cluster.kube.clock import ClockOffset, measure
from cluster.kube.gateway import Gateway
from cluster.kube.installation import Installation
from cluster.kube.kinds import Manifest
from cluster.kube.mirror import Mirror
from cluster.kube.part import PodPart, PodPostgres
from cluster.kube.permissions import require_permitted
from cluster.kube.pods import ROLE, Pods, container_of, is_replica, replica_name
from cluster.kube.rungs import prove
from cluster.kube.theirs import Theirs
from cluster.kube.tunnel import Tunnel
from cluster.kube.watch import PodWatch, is_ready, stuck
from cluster.ledgers import LedgerReader
from cluster.wire.client import Wire
from cluster.witness.client import WitnessClient
from loadtests.swarm import SwarmPlan
from results.errors import ClusterError, OnceproofError
from results.run_folder import RunFolder
from scenarios.engine.plan import ClusterTarget, RunPlan, note
from scenarios.engine.pod_objects import (
    drawn_values,
    manifests_of,
    relays,
    scaler_of,
    settings,
)
from scenarios.engine.pod_swarm import PodSwarm
from scenarios.engine.pod_theirs import (
    find_theirs,
    hand_back,
    note_provider,
    take_over,
    template_of,
)
from scenarios.engine.seed_orders import seed_orders
from scenarios.engine.stand import RunningSwarm, Stand, Watch, apply_schema

PORTS = {"postgres": 5432, "wire": 7000, "witness": 8080}
RECORDS = "/records"
READY_SECONDS = 180.0
DRAIN_SECONDS = 30.0
LATE_SECONDS = 1.0  # an intent comes to the run's folder so much later at the most
TARGET = f"http://{manifests.SERVICE}:3000"


@dataclass(slots=True)
class Naming:
    """Tells the wire which address is which pod, as soon as a pod has one."""

    heard: "asyncio.Queue[tuple[str, str | None]]" = field(default_factory=asyncio.Queue)
    _owners: dict[str, str] = field(default_factory=dict)  # address -> replica

    def see(self, pod: Manifest, gone: bool) -> None:
        """A pod has changed, or gone."""
        address = pod.get("status", {}).get("podIP")
        if not address or not is_replica(pod["metadata"]):
            return
        name = replica_name(pod)
        if gone:
            if self._owners.get(address) == name:
                del self._owners[address]
                self.heard.put_nowait((address, None))
        elif self._owners.get(address) != name:
            self._owners[address] = name
            self.heard.put_nowait((address, name))

    async def tell(self, wire: Wire) -> None:
        """Until it is cancelled, or the wire is lost (which others see, too)."""
        with contextlib.suppress(OnceproofError):
            while True:
                await wire.name(*await self.heard.get())


@dataclass(frozen=True, slots=True)
class Harness:
    """Postgres, wire and witness, up and reachable from here."""

    gateway: Gateway
    pods: PodWatch
    postgres: PodPostgres
    wire_part: PodPart
    witness: PodPart
    ports: dict[str, int]  # of this machine
    clock: ClockOffset  # of all three, beside ours


@asynccontextmanager
async def standing_in_cluster(
    plan: RunPlan, target: ClusterTarget, folder: RunFolder, watch: Watch
) -> AsyncIterator[Stand]:
    """All of it as pods of one namespace."""
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.journal))
        gateway = await Gateway.connect(target.context, target.namespace)
        await stack.enter_async_context(gateway)
        await require_possible(plan, gateway)
        theirs = await find_theirs(plan.config, gateway)
        values = drawn_values(plan, theirs)
        logs = ChildLogs(folder.logs, tuple(values.values()))
        stack.callback(logs.blot)
        watch(f"claiming namespace {target.namespace} of {gateway.access.context}")
        installation = Installation(gateway, target.run or secrets.token_hex(6), journal)
        await installation.claim()
        stack.push_async_callback(removed, installation, watch)
        changes = Changes(gateway, journal)
        stack.push_async_callback(changes.restore_all)
        naming = Naming()
        harness_objects, service = manifests_of(plan, target, installation.run)
        watch("deploying Postgres, wire and witness")
        await installation.apply([*settings(plan, installation, values, theirs), *harness_objects])
        harness = await harness_up(stack, installation, naming, values["postgres-password"], theirs)
        dsn, ports = harness.postgres.dsn, harness.ports
        await apply_schema(plan.config, dsn, journal, logs)
        clock = harness.clock
        wire = await Wire.connect(
            "127.0.0.1", ports["wire"], values["token"], shift_ns=clock.shift_ns,
            error_ns=clock.error_ns,
        )  # fmt: skip
        stack.push_async_callback(wire.close)
        telling = asyncio.create_task(naming.tell(wire))
        stack.callback(telling.cancel)
        copies = await copied(stack, harness, folder)
        place = Pods(gateway, harness.pods)
        replicas, template = await service_up(
            stack, plan, installation, place, service, theirs, changes, watch
        )
        await prove_crash(plan, place, template, installation.run, target, watch)
        ledger = await ledger_read(stack, plan, dsn, folder, clock)
        if plan.config.service.seed:
            watch("seeding the orders' rows")
            await seed_orders(plan, dsn)

        async def send(swarm: SwarmPlan) -> RunningSwarm:
            return await PodSwarm.start(
                gateway, harness.pods, folder, swarm, run=installation.run, target=target,
                clock=clock,
            )  # fmt: skip

        note(folder, kubernetes=await facts(place, clock), replicas=replicas)
        if theirs is not None:
            note_provider(folder, plan, theirs)
        yield Stand(
            administrator=PodAdministrator(
                gateway, place, changes, theirs.deployment if theirs else manifests.SERVICE,
                target.node_down, target.node_up,
                None if theirs else Autoscaler(gateway, scaler_of(target, installation.run)),
            ),
            config=plan.config, folder=folder, journal=journal, postgres=harness.postgres, dsn=dsn,
            wire=wire, witness=harness.witness, place=place, environments=None, ledger=ledger,
            provider=WitnessClient(f"http://127.0.0.1:{ports['witness']}", values["token"]),
            targets={"service": theirs.url if theirs else TARGET}, send=send,
            histories_late_seconds=LATE_SECONDS,
            secret=values["shopify-secret"], next_secret=values["shopify-secret-next"],
        )  # fmt: skip
        await drain(wire, copies, folder)


async def require_possible(plan: RunPlan, gateway: Gateway) -> None:
    """ClusterError, before anything is made, for what is not allowed or not there."""
    kinds = {one.kind for one in plan.scenario.faults}
    await require_permitted(gateway, kinds, plan.name)
    if "autoscale" in kinds:
        await require_metrics(gateway)


async def service_up(
    stack: AsyncExitStack, plan: RunPlan, installation: Installation, place: Pods,
    service: list[Manifest], theirs: Theirs | None, changes: Changes, watch: Watch,
) -> tuple[int, Manifest]:  # fmt: skip
    """Have all replicas ready behind the wire; how many, and the template of their pods."""
    gateway = installation.gateway
    if theirs is not None:
        stack.push_async_callback(hand_back, theirs, gateway, changes, watch)
        await take_over(theirs, gateway, changes, watch)
        await replicas_ready(place.watch, theirs.replicas)
        return theirs.replicas, await template_of(theirs, gateway)
    replicas = plan.scenario.replicas
    watch(f"deploying {replicas} replicas of {plan.config.service.name}")
    await installation.apply(service)
    await replicas_ready(place.watch, replicas + relays(service))
    templates = [one["spec"]["template"] for one in service if "template" in one.get("spec", {})]
    web = next(one for one in templates if one["metadata"]["labels"][ROLE] == "web")
    return replicas, web


async def removed(installation: Installation, watch: Watch) -> None:
    """Take everything out of the namespace again."""
    watch("removing what was deployed")
    await installation.remove()


async def harness_up(
    stack: AsyncExitStack, installation: Installation, naming: Naming, password: str,
    theirs: Theirs | None = None,
) -> Harness:  # fmt: skip
    """Wait for the harness's pods, and make their ports ones of this machine."""
    gateway = installation.gateway
    if theirs is None:
        pods = PodWatch(gateway, f"{manifests.RUN}={installation.run}", naming.see)
    else:
        pods = PodWatch(gateway, "", naming.see, theirs.seen(installation.run))
    await stack.enter_async_context(pods)
    postgres = PodPostgres(pods, "postgres", gateway, "")
    wire_part, witness = PodPart(pods, "wire"), PodPart(pods, "witness")
    parts = (postgres, wire_part, witness)
    await asyncio.gather(*(part.ready() for part in parts))
    ports = {part.name: await open_tunnel(stack, gateway, part) for part in parts}
    postgres.dsn = f"postgresql://postgres:{password}@127.0.0.1:{ports['postgres']}/postgres"
    clock = await one_clock(gateway, parts)
    return Harness(gateway, pods, postgres, wire_part, witness, ports, clock)


async def copied(stack: AsyncExitStack, harness: Harness, folder: RunFolder) -> list[Mirror]:
    """The files that wire and witness write, as copies that grow with them."""
    copies: list[Mirror] = []
    for part, local in ((harness.wire_part, folder.wire), (harness.witness, folder.witness)):
        mirror = Mirror(
            harness.gateway, await part.pod_name(), part.name, f"{RECORDS}/{local.name}", local,
            harness.clock.shift_ns,
        )  # fmt: skip
        copies.append(await stack.enter_async_context(mirror))
    return copies


async def ledger_read(
    stack: AsyncExitStack, plan: RunPlan, dsn: str, folder: RunFolder, clock: ClockOffset
) -> LedgerReader:
    """The reader of what the service holds, and its first look: a wrong query is found by it."""
    queries = plan.config.ledger_queries()
    ledger = LedgerReader(dsn, queries, folder.ledger, error_ns=clock.error_ns)
    stack.push_async_callback(ledger.close)
    await ledger.snapshot("sample")
    return ledger


async def open_tunnel(stack: AsyncExitStack, gateway: Gateway, part: PodPart) -> int:
    """A port of this machine that leads to a part of the harness."""
    tunnel = await Tunnel.open(gateway, part.pod_name, PORTS[part.name])
    stack.push_async_callback(tunnel.close)
    return tunnel.port


async def one_clock(gateway: Gateway, parts: tuple[PodPart, ...]) -> ClockOffset:
    """The clock of the harness's pods beside ours; ClusterError when they have several."""
    offsets = [await measure(gateway, await part.pod_name(), part.name) for part in parts]
    if len({offset.boot_id for offset in offsets}) > 1:
        raise ClusterError(
            "Postgres, wire and witness run on several nodes, so their records have no common "
            "clock. Keep their podAffinity, or give one node room for all three."
        )
    return max(offsets, key=lambda offset: offset.error_ns)


async def replicas_ready(pods: PodWatch, wanted: int) -> None:
    """Wait until so many pods with a role are ready; ClusterError, saying why, if not."""

    def look() -> bool | None:
        ours = [pod for pod in pods.now.values() if is_replica(pod["metadata"])]
        for pod in ours:
            if why := stuck(pod):
                raise ClusterError(f"{pod['metadata']['name']} does not start: {why}.")
        return sum(is_ready(pod) for pod in ours) >= wanted or None

    if await pods.until(look, READY_SECONDS) is None:
        raise ClusterError(
            f"{wanted} replicas were not ready within {READY_SECONDS:.0f} s: "
            "`kubectl describe pod` and `kubectl logs` tell why."
        )


async def prove_crash(
    plan: RunPlan, place: Pods, template: Manifest, run: str, target: ClusterTarget, watch: Watch
) -> None:
    """Find out, before the traffic, how a container can be crashed here; only if one is to be."""
    if not any(fault.kind == "crash" for fault in plan.scenario.faults):
        return
    place.rung = await prove(
        place.gateway, template, container_of(template),
        labels={manifests.RUN: run, manifests.PART_OF: manifests.NAME},
        helper_image=target.image,
    )  # fmt: skip
    watch(f"crash: by {place.rung.name}, proved on a pod made for it")


async def facts(place: Pods, clock: ClockOffset) -> dict[str, object]:
    """What the manifest keeps of the cluster."""
    gateway = place.gateway
    version = await gateway.call("GET", "/version")
    return {
        "version": version["gitVersion"], "context": gateway.access.context,
        "namespace": gateway.namespace, "crash": place.rung.name if place.rung else "",
        "clock_shift_ns": clock.shift_ns, "clock_error_ns": clock.error_ns,
    }  # fmt: skip


async def drain(wire: Wire, copies: list[Mirror], folder: RunFolder) -> None:
    """Have every record here before the pods go; a run that lacks some is unknown."""
    try:
        await wire.flush()
        for copy in copies:
            await copy.drained(timeout_seconds=DRAIN_SECONDS)
    except (OnceproofError, OSError) as error:
        lost = f"records were not copied whole: {error}"
        manifest = folder.read_manifest()
        folder.write_manifest(replace(manifest, controller_lost=manifest.controller_lost or lost))
