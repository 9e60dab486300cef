"""The kinds of objects that a run touches, and where the API server keeps them."""

from typing import Any, NamedTuple

Manifest = dict[str, Any]  # an object as the API server speaks it: plain JSON


class Kind(NamedTuple):
    """One row: the API group's version, the path's word, and whether a namespace holds it."""

    version: str
    plural: str
    namespaced: bool = True


KINDS = {
    "ConfigMap": Kind("v1", "configmaps"),
    "Deployment": Kind("apps/v1", "deployments"),
    "Event": Kind("v1", "events"),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "Job": Kind("batch/v1", "jobs"),
    "Lease": Kind("coordination.k8s.io/v1", "leases"),
    "Namespace": Kind("v1", "namespaces", namespaced=False),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "Node": Kind("v1", "nodes", namespaced=False),
    "Pod": Kind("v1", "pods"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "ReplicaSet": Kind("apps/v1", "replicasets"),
    "Role": Kind("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Kind("rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": Kind("v1", "secrets"),
    "SelfSubjectAccessReview": Kind(
        "authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False
    ),
    "Service": Kind("v1", "services"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
}


def path_of(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """The path of an object, or (without a name) of all of its kind."""
    row = KINDS[kind]
    root = "/api" if row.version == "v1" else "/apis"
    parts = [root, row.version]
    if row.namespaced:
        parts += ["namespaces", namespace]
    parts += [row.plural, name, subresource]
    return "/".join(part for part in parts if part)


def name_of(manifest: Manifest) -> str:
    """`Deployment payment-processor`, for people."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"
