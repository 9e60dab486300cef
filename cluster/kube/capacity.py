"""How much room the nodes have, and how much a run asks for: what the scheduler compares.

Room is what a node offers less what its pods request; what they really use is another matter. A
node that is cordoned or not ready has none.
"""

from collections.abc import Iterable

from cluster.kube.kinds import Manifest

Amount = tuple[float, float]  # CPUs, bytes
UNITS = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
ENDED = {"Succeeded", "Failed"}


def quantity(text: str) -> float:
    """A quantity of Kubernetes ("200m", "256Mi", "4") as a number."""
    for unit in sorted(UNITS, key=len, reverse=True):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * UNITS[unit]
    return float(text)


def of_pod(spec: Manifest) -> Amount:
    """What a pod's containers request; an init container may ask for more than all of them."""
    both = [spec.get("containers", ()), spec.get("initContainers", ())]
    cpu, memory = (
        max(
            sum(requests(one, resource) for one in both[0]),
            max((requests(one, resource) for one in both[1]), default=0.0),
        )
        for resource in ("cpu", "memory")
    )
    return cpu, memory


def requests(container: Manifest, resource: str) -> float:
    """One container's request."""
    return quantity(container.get("resources", {}).get("requests", {}).get(resource, "0"))


def requested(objects: Iterable[Manifest]) -> Amount:
    """What all pods of these objects request together."""
    cpu = memory = 0.0
    for one in objects:
        spec = one.get("spec", {})
        pod = spec.get("template", {}).get("spec") or (spec if one["kind"] == "Pod" else None)
        if pod is not None:
            more = of_pod(pod)
            times = spec.get("replicas", 1)
            cpu, memory = cpu + times * more[0], memory + times * more[1]
    return cpu, memory


def rooms(nodes: Iterable[Manifest], pods: Iterable[Manifest]) -> dict[str, Amount]:
    """What is free on each node that takes pods."""
    free: dict[str, Amount] = {}
    for node in nodes:
        ready = any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in node["status"].get("conditions", ())
        )
        if ready and not node["spec"].get("unschedulable"):
            offered = node["status"]["allocatable"]
            free[node["metadata"]["name"]] = quantity(offered["cpu"]), quantity(offered["memory"])
    for pod in pods:
        name = pod["spec"].get("nodeName", "")
        if name in free and pod.get("status", {}).get("phase") not in ENDED:
            taken = of_pod(pod["spec"])
            free[name] = free[name][0] - taken[0], free[name][1] - taken[1]
    return free


def memory_words(amount: float) -> str:
    """Bytes, for people."""
    return f"{amount / 2**20:.0f} MiB"
