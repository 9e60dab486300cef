"""A run whose service is a Deployment of the user's: what differs from one that is brought along.

Two rollouts, each announced: one that has the service use the run's own database, behind the wire,
and one that gives it back. In between it is judged, struck and read as any other. Nothing of ours
restricts traffic then: policies for the user's pods are the user's.
"""

from urllib.parse import urlsplit

from msgspec.structs import replace

from cluster.kube import manifests
from cluster.kube.changes import Changes
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.pods import THEIR_CONTAINER
from cluster.kube.theirs import REDIRECTED, UNDO, Theirs, find, redirect, rolled_out
from results.errors import ClusterError, ConfigError
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan
from scenarios.engine.stand import Watch
from scenarios.engine.variables import Told, settings_text

ROLLOUT_SECONDS = 300.0
PROVIDER = "http://witness:8080/shipments"


async def find_theirs(config: ServiceConfig, gateway: Gateway) -> Theirs | None:
    """The Deployment that onceproof.toml names, if it names one; ConfigError if it is unfit."""
    named, service = config.kubernetes, config.service
    if named is None:
        return None
    if bool(service.settings) != bool(named.settings):
        raise ConfigError(
            "onceproof.toml: kubernetes.settings: expected VOLUME/FILE of the Deployment's pods, "
            "which is made from the template `settings` under [service]: both, or neither."
        )
    if not service.database_from and not named.settings:
        raise ConfigError(
            "onceproof.toml: service.database_from: on Kubernetes the database's URL must be one "
            'variable of the Deployment, as in database_from = "DATABASE_URL", or stand in a '
            'settings file, as in settings = "VOLUME/FILE" under [kubernetes].'
        )
    url = urlsplit(named.url)
    if url.scheme != "http" or not url.hostname:
        raise ConfigError(
            "onceproof.toml: kubernetes.url: expected where the Service answers inside the "
            'cluster, as in url = "http://shop:3000".'
        )
    return await find(
        gateway, named.deployment, container=named.container, url=named.url.rstrip("/"),
        database_from=service.database_from or "", settings=named.settings,
        secret_from=service.secret_from, provider_from=service.provider_from or "",
    )  # fmt: skip


def harness_alone(objects: list[Manifest]) -> list[Manifest]:
    """Of the objects of a run those that do not touch the user's pods."""
    return [one for one in objects if one["kind"] in ("Deployment", "StatefulSet", "Service")
            and one["metadata"]["name"] != manifests.SERVICE]  # fmt: skip


async def take_over(
    theirs: Theirs, gateway: Gateway, changes: Changes, watch: Watch
) -> None:  # fmt: skip
    """The first rollout: from here on the service uses the run's database."""
    watch(f"rollout 1 of 2: {words(theirs)} leads to the wire")
    changes.intend("Deployment", theirs.deployment, REDIRECTED, undo=UNDO)
    await redirect(gateway, theirs)
    await rolled_out(gateway, theirs.deployment, timeout_seconds=ROLLOUT_SECONDS)


async def hand_back(theirs: Theirs, gateway: Gateway, changes: Changes, watch: Watch) -> None:
    """The second rollout: all is as it was."""
    if not changes.is_open("Deployment", theirs.deployment, REDIRECTED):
        return
    watch(f"rollout 2 of 2: {words(theirs)} leads to where it did")
    await changes.restore("Deployment", theirs.deployment, REDIRECTED)
    try:
        await rolled_out(gateway, theirs.deployment, timeout_seconds=ROLLOUT_SECONDS)
    except ClusterError as error:  # it is given back, and the run has its verdict
        watch(str(error))


def words(theirs: Theirs) -> str:
    """`DATABASE_URL of Deployment shop`, for people."""
    changed = [theirs.variable] if theirs.variable else []
    if theirs.settings is not None:
        changed.append(f"the volume {theirs.settings.volume}")
    return f"{' and '.join(changed)} of Deployment {theirs.deployment}"


def settings_file(
    plan: RunPlan, theirs: Theirs, dsn: str, namespace: str, run: str
) -> list[Manifest]:
    """The Secret with the settings file that leads to the run's database; [] if it reads none."""
    template, url = plan.config.file(plan.config.service.settings), urlsplit(theirs.url)
    if theirs.settings is None or template is None:
        return []
    told = Told(
        dsn=dsn, host="0.0.0.0", port=url.port or 80, secret=theirs.secret,
        provider_url=theirs.provider or PROVIDER, strategy=plan.strategy,
    )  # fmt: skip
    return [theirs.settings.secret(settings_text(template, told.places()), namespace, run)]


async def template_of(theirs: Theirs, gateway: Gateway) -> Manifest:
    """The template of its pods as it is now, with the container that counts."""
    found = await gateway.get("Deployment", theirs.deployment)
    if found is None:
        raise ClusterError(f"The Deployment {theirs.deployment} has gone.")
    template: Manifest = found["spec"]["template"]
    annotations = template["metadata"].setdefault("annotations", {})
    annotations[THEIR_CONTAINER] = theirs.container
    return template


def note_provider(folder: RunFolder, plan: RunPlan, theirs: Theirs) -> None:
    """Whether the witness stands in for the provider is only known once the Deployment is read."""
    if not theirs.provider and plan.config.service.provider_from:
        folder.write_manifest(replace(folder.read_manifest(), provider="none", has_witness=False))
