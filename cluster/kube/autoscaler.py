"""The HorizontalPodAutoscaler that ships, as a run makes one for its own service and removes it.

It decides on the CPU that metrics-server measures (`metrics.k8s.io`), which not every cluster has:
a new one of DOKS or kind has none. So that is asked first, before anything is made. A run's
differs from the shipped one in its least and most, in its share of CPU, and in how long it waits
before it takes replicas away (Kubernetes' default of five minutes is longer than most runs).

Limits: it carries the run's label, and goes with the run. One name, one autoscaler in a namespace.
"""

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.kinds import Manifest
from results.errors import ClusterError

KIND = "HorizontalPodAutoscaler"
METRICS = "/apis/metrics.k8s.io/v1beta1"


class Seen(NamedTuple):
    """The CPU as a share of what the replicas request, and why nothing can be decided ("": all
    is well)."""

    cpu_percent: int | None
    words: str


@dataclass(slots=True)
class Autoscaler:
    """One, made from a manifest of the run's own."""

    gateway: Gateway
    manifest: Manifest
    _least: int | None = field(default=None, init=False)  # None: there is none of ours

    @property
    def name(self) -> str:
        """Of the object."""
        return str(self.manifest["metadata"]["name"])

    async def make(self, least: int, most: int, *, cpu_percent: int, calm_seconds: int) -> None:
        """Create it; ClusterError when there is one of that name, or the most is not more."""
        if most <= least:
            raise ClusterError(f"autoscale: {least} replicas are there already, of {most} at most")
        manifest = copy.deepcopy(self.manifest)
        spec = manifest["spec"]
        spec["minReplicas"], spec["maxReplicas"] = least, most
        spec["metrics"][0]["resource"]["target"]["averageUtilization"] = cpu_percent
        spec["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": calm_seconds}}
        await self.gateway.create(manifest)
        self._least = least

    async def seen(self) -> Seen:
        """What it says of itself; nothing seen when it is not there."""
        status = (await self.gateway.get(KIND, self.name) or {}).get("status", {})
        percents = [
            one["resource"]["current"].get("averageUtilization")
            for one in status.get("currentMetrics") or ()
            if "resource" in one
        ]
        words = [
            one.get("message", "")
            for one in status.get("conditions") or ()
            if one["type"] in ("AbleToScale", "ScalingActive") and one["status"] == "False"
        ]
        return Seen(percents[0] if percents else None, " ".join(words)[:300])

    async def remove(self) -> int | None:
        """Delete it, if it was made: the least that it was to leave; None if it was not."""
        least, self._least = self._least, None
        if least is not None:
            await self.gateway.delete(KIND, self.name)
        return least


async def require_metrics(gateway: Gateway) -> None:
    """ClusterError, saying what to do, unless the cluster measures CPU."""
    try:
        await gateway.call("GET", METRICS)
    except ApiError as error:
        raise ClusterError(
            f"autoscale: unavailable: metrics.k8s.io does not answer ({error.status}), so no "
            "autoscaler sees any CPU. Install metrics-server, or run scaled_under_load, which "
            "asks for more replicas itself."
        ) from None
