"""A Deployment of the user's as the service under test: found, read, and given back as it was.

One variable of its template is changed, the one that carries the database's URL (or one volume,
that of its settings file), so that the run's own database answers behind the wire: a rollout when
the run begins, and one when it ends. What stood there before stays in an annotation of the same
object, since it may hold a password, which no journal shall hold. Everything else is only read:
the secret that webhooks are signed with, and where the provider is.

Its pods carry no label of ours. So we see each with two marks that the API server never gets: the
role `web`, and the container that counts.

Limits: a Deployment with a selector of plain labels. A value that is put together from others
(`$(HOST)`) is taken as it stands. A controller that puts its own template back (GitOps) wins.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cluster.kube import their_settings
from cluster.kube.gateway import JSON_PATCH, ApiError, Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.manifests import NAME, RUN
from cluster.kube.pods import ROLE, THEIR_CONTAINER
from cluster.kube.their_settings import TheirSettings, find_settings, is_ours, replaced
from results.errors import ClusterError, ConfigError

BEFORE = "onceproof.dev/before"  # the annotation: what stood in the variable's place
REDIRECTED = "redirected"
UNDO: Manifest = {"annotation": BEFORE}
PROVIDER_HOST = "witness"
PATCH_SECONDS = 20.0
POLL_SECONDS = 0.3
OURS = {"secretKeyRef": {"name": NAME, "key": "database-url"}}


@dataclass(frozen=True, slots=True)
class Theirs:
    """What is known of the Deployment."""

    deployment: str
    container: str
    variable: str  # carries the database's URL; "": its settings file does
    url: str  # where its webhooks are answered, as seen from a pod
    replicas: int
    selector: dict[str, str]
    secret: str = field(repr=False)  # that webhooks are signed with
    provider: str  # "" where the witness does not stand in for it
    settings: TheirSettings | None = None  # None: it reads no such file

    def seen(self, run: str) -> "Seen":
        """How its pods and those of a run are seen."""
        return Seen(self, run)


@dataclass(frozen=True, slots=True)
class Seen:
    """The pods of a run as they are, those of the Deployment with our marks, no others."""

    theirs: Theirs
    run: str

    def __call__(self, pod: Manifest) -> Manifest | None:
        """A pod as we see it; None for one that is not ours to look at."""
        metadata = pod["metadata"]
        labels = metadata.get("labels", {})
        if labels.get(RUN) == self.run:
            return pod
        if not self.theirs.selector.items() <= labels.items():
            return None
        marked = {
            "labels": {**labels, ROLE: "web"},
            "annotations": {
                **metadata.get("annotations", {}),
                THEIR_CONTAINER: self.theirs.container,
            },
        }
        return {**pod, "metadata": {**metadata, **marked}}


async def find(
    gateway: Gateway, deployment: str, *, container: str, url: str, database_from: str,
    secret_from: str, provider_from: str, settings: str = "",
) -> Theirs:  # fmt: skip
    """Read it; ConfigError for one that is not there or is not as onceproof.toml says."""
    found = await gateway.get("Deployment", deployment)
    where = f"The Deployment {deployment} in the namespace {gateway.namespace}"
    if found is None:
        raise ConfigError(
            f"{where} is not there. Its name is `deployment` under [kubernetes] in "
            "onceproof.toml; its namespace is `namespace` there, or --namespace."
        )
    if BEFORE in found["metadata"].get("annotations", {}):
        raise ConfigError(
            f"{where} still leads to another run's database. If that run's runner was killed, "
            "`onceproof heal` gives it back."
        )
    selector = found["spec"]["selector"]
    if selector.get("matchExpressions"):
        raise ConfigError(f"{where} has a selector with matchExpressions: only labels are read.")
    containers = found["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in containers]
    chosen = container or (names[0] if len(names) == 1 else "")
    if chosen not in names:
        raise ConfigError(
            f"{where} has the containers {', '.join(names)}. Name the service's as `container` "
            "under [kubernetes] in onceproof.toml."
        )
    spec = containers[names.index(chosen)]
    database, secret, provider = [
        await value_of(gateway, spec, name) if name else None
        for name in (database_from, secret_from, provider_from)
    ]
    for name, value in ((database_from, database), (secret_from, secret)):
        if name and value is None:
            raise ConfigError(f"{where} has no variable {name} that can be read in {chosen!r}.")
    stands_in = urlsplit(provider or "").hostname == PROVIDER_HOST
    return Theirs(
        deployment=deployment, container=chosen, variable=database_from, url=url,
        replicas=int(found["spec"].get("replicas", 1)), selector=selector["matchLabels"],
        secret=secret or "", provider=(provider or "") * stands_in,
        settings=await find_settings(gateway, found["spec"]["template"]["spec"], settings, where)
        if settings else None,
    )  # fmt: skip


async def value_of(gateway: Gateway, container: Manifest, variable: str) -> str | None:
    """What a container is given as a variable: by value, or from a Secret or a ConfigMap."""
    for one in container.get("env", ()):
        if one["name"] == variable:
            source = one.get("valueFrom", {})
            for reference, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if reference in source:
                    named = source[reference]
                    return (await data_of(gateway, kind, named["name"])).get(named["key"])
            value: str | None = one.get("value")
            return value
    for one in reversed(container.get("envFrom", [])):
        for reference, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if reference in one:
                held = await data_of(gateway, kind, one[reference]["name"])
                prefixed = {one.get("prefix", "") + key: value for key, value in held.items()}
                if variable in prefixed:
                    return prefixed[variable]
    return None


async def data_of(gateway: Gateway, kind: str, name: str) -> dict[str, str]:
    """The text that a Secret or a ConfigMap holds; {} when it is not there."""
    found = await gateway.get(kind, name) or {}
    data: dict[str, str] = found.get("data") or {}
    if kind == "ConfigMap":
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


async def redirect(gateway: Gateway, theirs: Theirs) -> None:
    """Have the variable lead to the run's database, and note what stood there before."""

    def change(found: Manifest) -> list[Manifest]:
        path, env = place_of(found, theirs.container)
        entry = {"name": theirs.variable, "valueFrom": OURS}
        at = index_of(env, theirs.variable)
        before: Manifest = {"container": theirs.container, "variable": theirs.variable,
                            "entry": None if at is None else env[at]}  # fmt: skip
        operations: list[Manifest] = []
        if theirs.settings is not None:
            where, volume = volume_of(found, theirs.settings.volume)
            before["volume"] = volume
            operations.append({"op": "replace", "path": where, "value": replaced(volume)})
        if theirs.variable and not env:
            operations.append({"op": "add", "path": f"{path}/env", "value": [entry]})
        elif theirs.variable:
            verb, place = ("add", len(env)) if at is None else ("replace", at)
            operations.append({"op": verb, "path": f"{path}/env/{place}", "value": entry})
        if "annotations" not in found["metadata"]:
            operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
        return [*operations, {"op": "add", "path": annotation(), "value": json.dumps(before)}]

    await patch_deployment(gateway, theirs.deployment, change)


async def give_back(gateway: Gateway, deployment: str) -> None:
    """Put back what stood there; harmless when that was done, or when the object has gone."""

    def change(found: Manifest) -> list[Manifest]:
        noted = found["metadata"].get("annotations", {}).get(BEFORE)
        if noted is None:
            return []
        before = json.loads(noted)
        operations: list[Manifest] = [{"op": "remove", "path": annotation()}]
        if volume := before.get("volume"):
            where, now = volume_of(found, volume["name"])
            if is_ours(now):  # else somebody has set it since
                operations.append({"op": "replace", "path": where, "value": volume})
        path, env = place_of(found, before["container"])
        at = index_of(env, before["variable"])
        if at is None or env[at].get("valueFrom") != OURS:
            return operations  # somebody else has set it since
        if before["entry"] is None:
            return [*operations, {"op": "remove", "path": f"{path}/env/{at}"}]
        return [
            *operations,
            {"op": "replace", "path": f"{path}/env/{at}", "value": before["entry"]},
        ]

    await patch_deployment(gateway, deployment, change)


def annotation() -> str:
    """Where the note is, as a JSON pointer."""
    return f"/metadata/annotations/{BEFORE.replace('~', '~0').replace('/', '~1')}"


def place_of(deployment: Manifest, container: str) -> tuple[str, list[Manifest]]:
    """A container of the template as a JSON pointer, and its variables; [] when it has gone."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    for number, one in enumerate(containers):
        if one["name"] == container:
            return f"/spec/template/spec/containers/{number}", one.get("env") or []
    return "", []


def volume_of(deployment: Manifest, name: str) -> tuple[str, Manifest]:
    """A volume of the template as a JSON pointer, and what it is; {} when it has gone."""
    pod = deployment["spec"]["template"]["spec"]
    at = their_settings.place_of(pod, name)
    return f"/spec/template/spec/volumes/{at}", {} if at is None else pod["volumes"][at]


def index_of(env: list[Manifest], variable: str) -> int | None:
    """Where a variable stands; the last one counts, as for the kubelet."""
    return next((at for at in range(len(env) - 1, -1, -1) if env[at]["name"] == variable), None)


async def patch_deployment(
    gateway: Gateway, name: str, change: Callable[[Manifest], list[Manifest]]
) -> None:
    """Apply the operations that `change` makes of its newest version, and of no other."""
    deadline = time.monotonic() + PATCH_SECONDS
    while (found := await gateway.get("Deployment", name)) is not None:
        operations = change(found)
        if not operations:
            return
        version = found["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            await gateway.patch("Deployment", name, [test, *operations], content_type=JSON_PATCH)
        except ApiError as error:
            if error.status not in (409, 422) or time.monotonic() >= deadline:
                raise
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


async def rolled_out(gateway: Gateway, name: str, *, timeout_seconds: float) -> None:
    """Wait until all of its pods are of its newest template; ClusterError if not in time."""
    deadline = time.monotonic() + timeout_seconds
    while (found := await gateway.get("Deployment", name)) is not None and not is_settled(found):
        if time.monotonic() >= deadline:
            raise ClusterError(
                f"The Deployment {name} was not rolled out within {timeout_seconds:.0f} s: "
                "`kubectl rollout status` tells why."
            )
        await asyncio.sleep(POLL_SECONDS)


def is_settled(deployment: Manifest) -> bool:
    """Whether all of a Deployment's pods are of its newest template, ready, and no more."""
    status: dict[str, Any] = deployment.get("status", {})
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    wanted = deployment["spec"]["replicas"]
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")}
    return seen and counts == {wanted}
