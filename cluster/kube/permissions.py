"""What a run must be allowed to do in a cluster: one table, which preflight asks and rbac prints.

Each row is a step, or a kind of fault, with the verbs that it needs on one resource. Who is not
allowed one of them learns it by name, before anything is made (SelfSubjectAccessReview, which
everybody may ask).

Exec and port-forward are a GET for RBAC before Kubernetes 1.35, and a create as well since then:
both are asked for. A server-side apply that makes an object is a patch and a create.

Limits: a row for a helper container stands for every crash, though an easier rung may do. What
an admission webhook or a quota forbids is seen only when it is tried.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import NamedTuple

from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.kinds import KINDS, Manifest
from cluster.kube.manifests import CHAOS, NAME, OWN_KINDS
from results.errors import ClusterError


class Permission(NamedTuple):
    """One verb on one resource (`pods/exec`), in the run's namespace or everywhere."""

    verb: str
    resource: str
    group: str = ""
    everywhere: bool = False

    @property
    def words(self) -> str:
        """`patch deployments.apps`, as RBAC's own messages have it."""
        resource, _, subresource = self.resource.partition("/")
        named = f"{resource}.{self.group}" if self.group else resource
        return f"{self.verb} {named}{'/' if subresource else ''}{subresource}"


class Row(NamedTuple):
    """A step (or a kind of fault), and the verbs that it needs on one resource."""

    step: str
    kind: str  # a row of `KINDS`
    verbs: str
    subresource: str = ""

    def permissions(self, *, everywhere: bool = False) -> list[Permission]:
        """One for each verb."""
        version, plural, _ = KINDS[self.kind]
        group = version.rpartition("/")[0]
        resource = f"{plural}/{self.subresource}" if self.subresource else plural
        return [Permission(verb, resource, group, everywhere) for verb in self.verbs.split()]


DEPLOYED = (
    "Deployment", "StatefulSet", "NetworkPolicy", "Secret", "ConfigMap", "Service",
    "PodDisruptionBudget",
)  # fmt: skip
STEPS = (
    Row("claim", "Namespace", "get"),
    Row("claim", "Lease", "get create delete"),
    *(Row("deploy", kind, "get create patch delete") for kind in DEPLOYED),
    Row("watch", "Pod", "list watch"),
    Row("send", "Pod", "create delete"),
    Row("send", "Pod", "get", "log"),
    Row("reach", "Pod", "get create", "portforward"),
    Row("copy", "Pod", "get create", "exec"),
    *(Row("remove", kind, "list") for kind in OWN_KINDS),
)
FAULTS = (
    Row("crash", "Pod", "get"),
    Row("crash", "Pod", "patch", "ephemeralcontainers"),
    Row("crash", "Event", "list"),
    Row("evict", "Pod", "get"),
    Row("evict", "Pod", "create", "eviction"),
    Row("ghost-pod", "Pod", "get"),
    Row("drain", "Pod", "get"),
    Row("drain", "Pod", "create", "eviction"),
    Row("drain", "Node", "get patch"),
    Row("autoscale", "HorizontalPodAutoscaler", "get create delete"),
    Row("node-down", "Node", "get"),
)
MAKE_NAMESPACE = Row("make the namespace", "Namespace", "get create delete")


def needed(faults: Collection[str], *, make_namespace: bool) -> list[Permission]:
    """What a run with these kinds of faults needs, each once."""
    rows = (*STEPS, *(row for row in FAULTS if row.step in faults))
    found = [one for row in rows for one in row.permissions(everywhere=row.kind == "Node")]
    if make_namespace:
        found += MAKE_NAMESPACE.permissions(everywhere=True)
    return list(dict.fromkeys(found))


async def missing(gateway: Gateway, wanted: Iterable[Permission]) -> list[Permission]:
    """Those that we do not have."""
    asked = list(wanted)
    answers = await asyncio.gather(*(permitted(gateway, one) for one in asked))
    return [one for one, yes in zip(asked, answers, strict=True) if not yes]


async def permitted(gateway: Gateway, permission: Permission) -> bool:
    """Whether we have this one."""
    resource, _, subresource = permission.resource.partition("/")
    return await gateway.allowed(
        permission.verb, resource, group=permission.group, subresource=subresource,
        everywhere=permission.everywhere,
    )  # fmt: skip


async def namespace_found(gateway: Gateway) -> tuple[bool, Manifest | None]:
    """Whether the run's namespace is there, for all that we know, and what it says of itself.

    One that we may not look at counts as there: only who may look can be the one to make it.
    """
    try:
        found = await gateway.get("Namespace", gateway.namespace)
    except ApiError as error:
        if error.status != 403:
            raise
        return True, None
    return found is not None, found


async def require_permitted(gateway: Gateway, faults: Collection[str], scenario: str) -> None:
    """ClusterError that names every verb that is missing, before anything is made."""
    there, _ = await namespace_found(gateway)
    lacking = await missing(gateway, needed(faults, make_namespace=not there))
    if lacking:
        raise ClusterError(refusal(gateway.namespace, lacking, scenario, there=there))


def refusal(namespace: str, lacking: Iterable[Permission], scenario: str, *, there: bool) -> str:
    """One sentence with the missing verbs, and what to do."""
    verbs = ", ".join(one.words + (" (everywhere)" if one.everywhere else "") for one in lacking)
    made = "" if there else ", which would be made,"
    more = "" if there else " --make-namespace"
    return (
        f"In the namespace {namespace}{made} you may not: {verbs}. "
        f"`onceproof rbac {scenario} --namespace {namespace}{more}` prints what is needed."
    )


def roles(
    faults: Collection[str], namespace: str, *, make_namespace: bool = False, name: str = NAME
) -> list[Manifest]:
    """The smallest Role, its account and its binding.

    A Role lives in its namespace and goes with it: who makes and deletes the namespace needs the
    same rules everywhere, by a ClusterRole, for an account that lives elsewhere. Nodes belong to
    no namespace: what a fault needs of them is a ClusterRole of its own.
    """
    wanted = needed(faults, make_namespace=make_namespace)
    account = {"name": name, "namespace": "default" if make_namespace else namespace}
    objects: list[Manifest] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(account)}
    ]
    if make_namespace:
        return objects + bound(wanted, name, account, everywhere=True)
    objects += bound([one for one in wanted if not one.everywhere], name, account)
    if nodes := [one for one in wanted if one.everywhere]:
        objects += bound(nodes, f"{name}-nodes", account, everywhere=True)
    return objects


def bound(
    permissions: Iterable[Permission], name: str, account: dict[str, str], *,
    everywhere: bool = False,
) -> list[Manifest]:  # fmt: skip
    """A Role (or, everywhere, a ClusterRole) and its binding to an account."""
    group, prefix = "rbac.authorization.k8s.io", "Cluster" if everywhere else ""
    place = {"name": name}
    if not everywhere:
        place["namespace"] = account["namespace"]
    return [
        {"apiVersion": f"{group}/v1", "kind": f"{prefix}Role", "metadata": dict(place),
         "rules": rules(permissions)},
        {"apiVersion": f"{group}/v1", "kind": f"{prefix}RoleBinding", "metadata": dict(place),
         "roleRef": {"apiGroup": group, "kind": f"{prefix}Role", "name": name},
         "subjects": [{"kind": "ServiceAccount", **account}]},
    ]  # fmt: skip


def rules(permissions: Iterable[Permission]) -> list[Manifest]:
    """Resources of one group that need the same verbs share a rule."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for one in permissions:
        known = verbs.setdefault((one.group, one.resource), [])
        if one.verb not in known:
            known.append(one.verb)
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), found in verbs.items():
        shared.setdefault((group, tuple(sorted(found))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(found)}
        for (group, found), resources in shared.items()
    ]


def hint(namespace: str, *, make_namespace: bool) -> str:
    """What the objects take for granted, as comments of YAML."""
    if make_namespace:
        return (
            f"# For runs that make and delete the namespace {namespace} themselves. These rules "
            "hold in the\n# whole cluster, Secrets included: without --make-namespace they hold in "
            "one namespace.\n"
        )
    return (
        f"# The namespace must be there, and say that it may be shaken:\n"
        f"#   kubectl create namespace {namespace}\n"
        f"#   kubectl label namespace {namespace} {CHAOS}=enabled\n"
        "# (A run that is to make and delete it: --make-namespace.)\n"
    )
