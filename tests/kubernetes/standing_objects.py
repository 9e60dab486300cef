"""What stands in a namespace and on the nodes by kubectl: to be compared before and after.

Left out is what a cluster writes by itself: status, versions, managed fields, the number by which
a Deployment counts its rollouts, and the objects that its controllers make from others.
"""

import json
from typing import Any

from cluster.kube.kinds import KINDS
from cluster.kube.manifests import OWN_KINDS
from tests.kubernetes.conftest import Cluster

MADE_BY_THE_CLUSTER = {"kube-root-ca.crt", "default"}
COUNTED = "deployment.kubernetes.io/revision"
WRITTEN = {"status", "metadata.managedFields", "metadata.resourceVersion", "metadata.generation"}


def standing(cluster: Cluster) -> dict[str, Any]:
    """By kind and name, every object that somebody made: labels, annotations, spec, data."""
    kinds = ",".join(KINDS[kind].plural for kind in OWN_KINDS)
    listed = json.loads(cluster.kubectl("get", kinds, "--output=json"))["items"]
    found = {}
    for one in listed:
        metadata = one["metadata"]
        owners = [owner["kind"] for owner in metadata.get("ownerReferences", ())]
        if metadata["name"] in MADE_BY_THE_CLUSTER or owners:
            continue
        found[f"{one['kind']} {metadata['name']}"] = bare(one)
    return found


def bare(one: dict[str, Any]) -> dict[str, Any]:
    """An object without what its cluster writes."""
    metadata = {
        key: value for key, value in one["metadata"].items() if f"metadata.{key}" not in WRITTEN
    }
    metadata["annotations"] = {
        key: value for key, value in metadata.get("annotations", {}).items() if key != COUNTED
    }
    rest = {key: value for key, value in one.items() if key not in WRITTEN}
    return {**rest, "metadata": metadata}


def cordons() -> dict[str, bool]:
    """Each node, and whether it takes no pods."""
    nodes = json.loads(Cluster().kubectl("get", "nodes", "--output=json"))["items"]
    return {one["metadata"]["name"]: bool(one["spec"].get("unschedulable")) for one in nodes}
