"""What would a run in a cluster touch, and would it work? Asked before a run, and changing nothing.

The one thing that is made is a pod to be crashed, where the namespace is there and may be shaken:
which way of crashing works can only be tried. That pod has none of the service's settings.

Limits: what an account may not see (nodes, other namespaces' pods) is told as unknown, not as
wrong. A node tells of 50 images at most. The clocks are compared to a second; a run compares them
finer, pod by pod. A pod that was to be crashed stays if this process is killed: it ends by itself,
and the next preflight in its namespace removes it.
"""

import copy
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import yaml
from rich.table import Table
from rich.text import Text

from cluster.kube import manifests
from cluster.kube.autoscaler import require_metrics
from cluster.kube.capacity import memory_words, requested, rooms
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.installation import refuse_reserved, require_chaos
from cluster.kube.kinds import Manifest
from cluster.kube.permissions import hint, missing, namespace_found, needed, refusal, roles
from cluster.kube.pods import CONTAINER, ROLE, is_replica
from cluster.kube.rungs import prove
from results.errors import OnceproofError
from scenarios.engine.catalog import load_scenario
from scenarios.engine.config import find_config, load_config
from scenarios.engine.doctor import Finding
from scenarios.engine.plan import (
    ClusterTarget,
    RunPlan,
    fault_name,
    placed,
    refuse_impossible,
)
from scenarios.engine.pod_objects import manifests_of, scaler_of
from scenarios.engine.pod_settings import database_settings
from scenarios.engine.pod_theirs import find_theirs, words
from scenarios.engine.scenario import Autoscale, Scale
from scenarios.engine.show import consoles, pick_strategy, say_json

CLOCK_SECONDS = 5.0  # a certificate's or a token's validity suffers from more
SACRIFICE_SECONDS = 120
PREFLIGHT = "preflight-"  # how the label of such a pod's run begins


def planned(
    scenario_name: str, config_path: Path | None, runs: Path, target: ClusterTarget
) -> RunPlan:
    """The run that is asked about."""
    config = load_config(find_config(config_path))
    name, scenario = load_scenario(scenario_name)
    return RunPlan(
        name=name, scenario=scenario, config=config, strategy=pick_strategy(config, None),
        provider="honours", seed=0, runs=runs, cluster=placed(target, config),
    )  # fmt: skip


def print_roles(scenario_name: str, namespace: str, *, make_namespace: bool) -> int:
    """The smallest Role for a scenario, as YAML."""
    refuse_reserved(namespace)
    _, scenario = load_scenario(scenario_name)
    kinds = {fault.kind for fault in scenario.faults}
    objects = roles(kinds, namespace, make_namespace=make_namespace)
    sys.stdout.write(hint(namespace, make_namespace=make_namespace))
    sys.stdout.write(yaml.safe_dump_all(objects, sort_keys=False))
    return 0


async def preflight_and_show(
    plan: RunPlan, target: ClusterTarget, database_url: str | None, *, as_json: bool
) -> int:
    """One table; 0 if a run would find all that it needs, else 255."""
    refuse_reserved(target.namespace)
    async with await Gateway.connect(target.context, target.namespace) as gateway:
        found = [finding async for finding in examined(plan, target, gateway)]
    if database_url is not None:
        found += await database_settings(database_url)
    if as_json:
        say_json([{"what": what, "ok": ok, "detail": detail} for what, ok, detail in found])
    else:
        table = Table(box=None, show_header=False)
        for what, ok, detail in found:
            table.add_row("[green]ok[/green]" if ok else "[red]no[/red]", what, Text(detail))
        consoles()[0].print(table)
    return 0 if all(ok for _, ok, _ in found) else 255


async def examined(
    plan: RunPlan, target: ClusterTarget, gateway: Gateway
) -> AsyncIterator[Finding]:
    """All that can be found out about a cluster, one after the other."""
    version = await gateway.call("GET", "/version")
    yield "kubernetes", True, f"{version['gitVersion']} (context {gateway.access.context})"
    there, namespace = await namespace_found(gateway)
    yield namespace_finding(there, namespace, target.namespace)
    objects = [one for part in manifests_of(plan, target, "preflight") for one in part]
    kinds = {fault.kind for fault in plan.scenario.faults}
    scaler = [scaler_of(target, "preflight")] if "autoscale" in kinds else []
    for touched in touches(plan, [*objects, *scaler]):
        yield touched
    if plan.config.kubernetes is not None:
        yield await changed(plan, gateway)
    wanted = needed(kinds, make_namespace=not there)
    lacking = await missing(gateway, wanted)
    words = f"all {len(wanted)} verbs that the run needs"
    if lacking:
        words = refusal(target.namespace, lacking, plan.name, there=there)
    yield "permissions", not lacking, words
    yield refused(plan)
    if "autoscale" in kinds:
        yield await metrics(gateway)
    yield clock(await gateway.clock_ahead_seconds())
    async for finding in nodes(gateway, at_most(plan, objects), target):
        yield finding
    if "crash" in kinds:
        yield await crash(gateway, objects, target, namespace, there=there, allowed=not lacking)


def namespace_finding(there: bool, found: Manifest | None, namespace: str) -> Finding:
    """Whether the namespace may be shaken."""
    if not there:
        return "namespace", True, f"{namespace} is not there: made, and deleted again"
    if found is None:
        return "namespace", False, f"this account may not look at {namespace}"
    try:
        require_chaos(found)
    except OnceproofError as error:
        return "namespace", False, str(error)
    return "namespace", True, f"{namespace} is there and may be shaken"


def touches(plan: RunPlan, objects: list[Manifest]) -> Iterator[Finding]:
    """What would be made, and whom it would strike how often."""
    names: dict[str, list[str]] = {"Secret": ["onceproof"], "ConfigMap": ["onceproof"]}
    for one in objects:
        count = one.get("spec", {}).get("replicas", 1)
        times = f" ×{count}" if count != 1 else ""
        names.setdefault(one["kind"], []).append(one["metadata"]["name"] + times)
    for kind, made in names.items():
        yield "makes", True, f"{kind} {', '.join(sorted(made))}"
    workers = plan.cluster.workers if plan.cluster else 1
    yield "makes", True, f"Pod swarm ×{workers}; Lease onceproof while the run lasts"
    for fault in plan.scenario.faults:
        role = getattr(fault, "role", "web")
        victims = f"one of {plan.scenario.replicas} {role} pods" if role == "web" else f"a {role}"
        if isinstance(fault, Autoscale):
            victims = f"from {plan.scenario.replicas} to {fault.most} web pods and back, on CPU,"
        if fault.kind.startswith(("db-", "witness-")):
            victims = "the run's own database or provider"
        yield "strikes", True, f"{fault_name(fault)} ×{fault.times}: {victims} each time"


def at_most(plan: RunPlan, objects: list[Manifest]) -> list[Manifest]:
    """The same objects when the scenario has scaled them up."""
    most = [fault.most for fault in plan.scenario.faults if isinstance(fault, Autoscale)]
    most += [fault.to for fault in plan.scenario.faults if isinstance(fault, Scale)]
    grown = copy.deepcopy(objects)
    for one in grown:
        if one["kind"] == "Deployment" and one["metadata"]["name"] == manifests.SERVICE:
            one["spec"]["replicas"] = max([plan.scenario.replicas, *most])
    return grown


async def changed(plan: RunPlan, gateway: Gateway) -> Finding:
    """What of the user's own would be changed, and given back."""
    try:
        theirs = await find_theirs(plan.config, gateway)
    except OnceproofError as error:
        return "changes", False, str(error)
    assert theirs is not None
    provider = "the witness stands in for its provider" if theirs.provider else (
        "its provider is not the witness (http://witness:8080), so what ships is not judged"
    )  # fmt: skip
    return "changes", True, (
        f"{words(theirs)}: it leads to the run's own database while the run lasts, and back: two "
        f"rollouts of {theirs.replicas} pods. Nothing else of it; {provider}"
    )  # fmt: skip


def refused(plan: RunPlan) -> Finding:
    """Whether the scenario has something that a cluster, or the service, cannot have."""
    try:
        refuse_impossible(plan)
    except OnceproofError as error:
        return "scenario", False, str(error)
    return "scenario", True, f"{plan.name} has nothing that is refused here"


async def metrics(gateway: Gateway) -> Finding:
    """Whether an autoscaler would see any CPU."""
    try:
        await require_metrics(gateway)
    except OnceproofError as error:
        return "metrics", False, str(error)
    return "metrics", True, "metrics.k8s.io answers: an autoscaler sees CPU"


def clock(ahead_seconds: float | None) -> Finding:
    """This machine's clock and the API server's."""
    if ahead_seconds is None:
        return "clock", True, "unknown: the API server tells no time"
    fine = abs(ahead_seconds) <= CLOCK_SECONDS
    return "clock", fine, f"the API server's is {ahead_seconds:+.1f} s from this machine's"


async def nodes(
    gateway: Gateway, objects: list[Manifest], target: ClusterTarget
) -> AsyncIterator[Finding]:
    """Room and images, as far as we may look."""
    try:
        shown = (await gateway.call("GET", "/api/v1/nodes"))["items"]
        pods = (await gateway.call("GET", "/api/v1/pods"))["items"]
    except ApiError as error:
        if error.status != 403:
            raise
        yield "nodes", True, "unknown: this account may not list nodes and all pods"
        return
    swarm = manifests.load(manifests.FOLDER / "swarm")
    asked = requested([*objects, *swarm[-1:] * target.workers])
    free = rooms(shown, pods)
    for name, (cpu, memory) in free.items():
        yield "node", True, f"{name}: {cpu:.2f} CPU and {memory_words(memory)} free of requests"
    cpu = sum(one for one, _ in free.values())
    memory = sum(one for _, one in free.values())
    enough = asked[0] <= cpu and asked[1] <= memory
    yield "room", enough, f"the run asks for {asked[0]:.2f} CPU and {memory_words(asked[1])}"
    having = [one["metadata"]["name"] for one in shown if has_image(one, target.image)]
    where = ", ".join(having) or "no node tells of it: it must be pulled, or is not told"
    yield "image", True, f"{target.image}: {where}"


def has_image(node: Manifest, image: str) -> bool:
    """Whether a node tells of an image."""
    tagged = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    return any(
        tagged == name or name.endswith(f"/{tagged}")
        for one in node["status"].get("images", ())
        for name in one.get("names") or ()
    )


async def crash(
    gateway: Gateway, objects: list[Manifest], target: ClusterTarget, found: Manifest | None, *,
    there: bool, allowed: bool,
) -> Finding:  # fmt: skip
    """Which way of crashing works, tried on a pod made for it."""
    if not there:
        return "crash", True, "not tried: the namespace is not there yet; the run tries it first"
    if not any(one["kind"] == "Deployment" and is_replica(one["spec"]["template"]["metadata"])
               for one in objects):  # fmt: skip
        return "crash", True, "not tried: a pod of yours would use your database; the run tries it"
    if not allowed or not namespace_finding(there, found, target.namespace)[1]:
        return "crash", False, "not tried: see above"
    try:
        await remove_left(gateway)
        rung = await prove(
            gateway, sacrifice(objects), CONTAINER,
            labels={manifests.PART_OF: manifests.NAME,
                    manifests.RUN: f"{PREFLIGHT}{secrets.token_hex(3)}"},
            helper_image=target.image,
        )  # fmt: skip
    except OnceproofError as error:
        return "crash", False, str(error)
    return "crash", True, f"by {rung.name}, proved on a pod made for it"


async def remove_left(gateway: Gateway) -> None:
    """Delete what a killed preflight left; the pod of one that still runs is younger."""
    pods, _ = await gateway.list("Pod", f"{manifests.PART_OF}={manifests.NAME}")
    ahead_seconds = await gateway.clock_ahead_seconds() or 0.0
    for metadata in (pod["metadata"] for pod in pods):
        if not metadata["labels"].get(manifests.RUN, "").startswith(PREFLIGHT):
            continue
        made = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
        if time.time() + ahead_seconds - made > SACRIFICE_SECONDS:
            await gateway.delete("Pod", metadata["name"], uid=metadata["uid"], grace_seconds=0)


def sacrifice(objects: list[Manifest]) -> Manifest:
    """The web replicas' template, with a process that needs no settings."""
    web = next(
        one["spec"]["template"]
        for one in objects
        if one["kind"] == "Deployment"
        and one["spec"]["template"]["metadata"]["labels"].get(ROLE) == "web"
    )
    template: Manifest = copy.deepcopy(web)
    spec = template["spec"]
    spec["activeDeadlineSeconds"] = SACRIFICE_SECONDS
    spec["containers"] = [one for one in spec["containers"] if one["name"] == CONTAINER]
    for container in spec["containers"]:
        for key in ("env", "envFrom", "readinessProbe", "livenessProbe", "startupProbe",
                    "lifecycle", "args"):  # fmt: skip
            container.pop(key, None)
        container["command"] = ["python", "-c", "import time; time.sleep(600)"]
    return template
