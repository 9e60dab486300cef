"""The manifests that ship, as a run applies them: the same files that kubectl takes by hand.

A run sets what differs from run to run where an object cannot refer to it: the namespace, the
image, the labels by which it finds its own objects again, and the number of replicas. All else
stands in a Secret and a ConfigMap, by reference.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.kube.kinds import Manifest

FOLDER = Path(__file__).resolve().parents[1] / "manifests"
RUN = "onceproof.dev/run"
PART_OF = "app.kubernetes.io/part-of"
CHAOS = "onceproof.dev/chaos"
SERVICE = "payment-processor"
NAME = "onceproof"  # of the Secret, the ConfigMap and the Lease
OWN_KINDS = (
    "Deployment", "StatefulSet", "Job", "ReplicaSet", "Pod", "NetworkPolicy", "Secret", "ConfigMap",
    "Service", "ServiceAccount", "Role", "RoleBinding", "PodDisruptionBudget",
    "HorizontalPodAutoscaler", "Lease",
)  # fmt: skip
"""What a run may create in a namespace: deleted by its label, in this order."""


def load(folder: Path) -> list[Manifest]:
    """All objects of a folder's YAML files, kustomizations left out."""
    return [
        document
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document
    ]


def for_run(
    manifests: Iterable[Manifest], *, namespace: str, run: str, image: str, replicas: int,
    requests: Mapping[str, str] | None = None,
) -> Iterator[Manifest]:  # fmt: skip
    """The same objects as one run's own; `requests`: what each container asks of its node."""
    for given in manifests:
        manifest = copy.deepcopy(given)
        label(manifest["metadata"], run)
        manifest["metadata"]["namespace"] = namespace
        template = manifest.get("spec", {}).get("template")
        if template is not None:
            label(template["metadata"], run)
            set_image(template["spec"], image)
            set_requests(template["spec"], requests)
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == SERVICE:
            manifest["spec"]["replicas"] = replicas
        yield manifest


def label(metadata: dict[str, Any], run: str) -> None:
    """Mark as part of a run."""
    metadata.setdefault("labels", {}).update({PART_OF: NAME, RUN: run})


def set_image(spec: dict[str, Any], image: str) -> None:
    """Every container of ours runs this image."""
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        container["image"] = image
        container["imagePullPolicy"] = "IfNotPresent"


def set_requests(spec: dict[str, Any], requests: Mapping[str, str] | None) -> None:
    """Every container of ours asks for this much (None: what it ships with); limits stay."""
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if requests is not None:
            container["resources"]["requests"] = dict(requests)


def settings(
    namespace: str, run: str, secret: dict[str, str], plain: dict[str, str]
) -> list[Manifest]:
    """The Secret and the ConfigMap to which the manifests refer."""
    objects: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "stringData": secret,
         "metadata": {"name": NAME, "namespace": namespace}},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": plain,
         "metadata": {"name": NAME, "namespace": namespace}},
    ]  # fmt: skip
    for manifest in objects:
        label(manifest["metadata"], run)
    return objects
