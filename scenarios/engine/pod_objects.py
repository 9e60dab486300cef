"""What a run puts into a namespace: the objects that ship, as this run's own, and their settings.

The harness's parts and the service under test come apart, since the harness is up first. The
autoscaler is in neither: most scenarios count on a number of replicas that stays, and where one is
asked for, the fault makes it.
"""

import secrets

from cluster.kube import manifests
from cluster.kube.installation import Installation
from cluster.kube.kinds import Manifest
from cluster.kube.pods import ROLE, is_replica
from cluster.kube.theirs import Theirs
from scenarios.engine.plan import ClusterTarget, RunPlan
from scenarios.engine.pod_theirs import harness_alone, settings_file
from scenarios.engine.stand import drawn_secrets


def drawn_values(plan: RunPlan, theirs: Theirs | None = None) -> dict[str, str]:
    """The secrets of one deployment, under the names that the manifests refer to."""
    token, secret, next_secret = drawn_secrets(plan)
    return {
        "token": token, "shopify-secret": theirs.secret if theirs else secret,
        "shopify-secret-next": next_secret, "postgres-password": secrets.token_hex(16),
    }  # fmt: skip


def settings(
    plan: RunPlan, installation: Installation, values: dict[str, str], theirs: Theirs | None = None
) -> list[Manifest]:
    """The Secrets and the ConfigMap of the run."""
    dsn = f"postgresql://postgres:{values['postgres-password']}@wire:5432/postgres"
    secret = {**values, "database-url": dsn}
    plain = {"strategy": plan.strategy, "keys": plan.provider, "upstream": "postgres:5432"}
    namespace, run = installation.gateway.namespace, installation.run
    own = manifests.settings(namespace, run, secret, plain)
    return own + (settings_file(plan, theirs, dsn, namespace, run) if theirs else [])


def manifests_of(
    plan: RunPlan, target: ClusterTarget, run: str
) -> tuple[list[Manifest], list[Manifest]]:
    """The harness's objects, and those of the service under test."""
    shipped = manifests.load(manifests.FOLDER / "base")
    own = manifests.for_run(
        (one for one in shipped if one["kind"] != "Namespace"),
        namespace=target.namespace, run=run, image=target.image, replicas=plan.scenario.replicas,
        requests=target.requests,
    )  # fmt: skip
    harness: list[Manifest] = []
    service: list[Manifest] = []
    for manifest in own:
        template = manifest.get("spec", {}).get("template", {})
        (service if is_replica(template.get("metadata", {})) else harness).append(manifest)
    if plan.config.kubernetes is not None:
        return harness_alone(harness), []
    return harness, service


def relays(service: list[Manifest]) -> int:
    """How many pods of other roles than web there are."""
    return sum(
        one["spec"].get("replicas", 1)
        for one in service
        if one["spec"]["template"]["metadata"]["labels"][ROLE] != "web"
    )


def scaler_of(target: ClusterTarget, run: str) -> Manifest:
    """The autoscaler of the service under test, as this run's own."""
    (scaler,) = manifests.for_run(
        manifests.load(manifests.FOLDER / "hpa"),
        namespace=target.namespace, run=run, image=target.image, replicas=0,
    )  # fmt: skip
    return scaler
