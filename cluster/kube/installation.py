"""What a run puts into a namespace, and how all of it goes again.

A namespace must have said that it may be shaken (`onceproof.dev/chaos=enabled`); one that is not
there is made, and deleted again. A Lease keeps two runs out of one namespace, and nothing that
was there before is replaced. Every object carries the run's label, and the journal names label
and namespace before the first object is made: so `remove` finds everything, also after the runner
was killed.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.journal import Journal
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.kinds import KINDS, Manifest, name_of, path_of
from cluster.kube.manifests import CHAOS, NAME, OWN_KINDS, label
from results.errors import ClusterError, ConfigError
from results.records import Deployed, Undeployed

REMOVE_SECONDS = 90.0
NAMESPACE_SECONDS = 120.0
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Installation:
    """The objects of one run in one namespace."""

    gateway: Gateway
    run: str
    journal: Journal
    made_namespace: bool = field(default=False, init=False)

    async def claim(self) -> None:
        """Take the namespace for this run; ConfigError or ClusterError if that must not be."""
        namespace = self.gateway.namespace
        refuse_reserved(namespace)
        found = await self.gateway.get("Namespace", namespace)
        if found is not None:
            require_chaos(found)
        self.made_namespace = found is None
        self.journal.append(
            Deployed(
                context=self.gateway.access.context, namespace=namespace, run=self.run,
                made_namespace=self.made_namespace, at_ns=time.monotonic_ns(),
            )
        )  # fmt: skip
        try:
            if found is None:
                await self.gateway.create({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": namespace, "labels": {CHAOS: "enabled"}},
                })  # fmt: skip
            await self._lease()
        except BaseException:
            await self.remove()
            raise

    async def _lease(self) -> None:
        lease: Manifest = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self.gateway.namespace},
            "spec": {"holderIdentity": self.run},
        }  # fmt: skip
        label(lease["metadata"], self.run)
        try:
            await self.gateway.create(lease)
        except ApiError as error:
            if error.status != 409:
                raise
            holder = await self.gateway.get("Lease", NAME) or {}
            raise ClusterError(
                f"Another run ({holder.get('spec', {}).get('holderIdentity', 'unknown')}) works in "
                f"the namespace {self.gateway.namespace}. Wait for it; if its runner was killed, "
                "`onceproof heal` removes what it left."
            ) from None

    async def apply(self, manifests: Iterable[Manifest]) -> None:
        """Make objects; ConfigError, before the first, when one of another owner is there."""
        wanted = list(manifests)
        present = await asyncio.gather(
            *(self.gateway.get(one["kind"], one["metadata"]["name"]) for one in wanted)
        )
        taken = [
            name_of(mine)
            for mine, found in zip(wanted, present, strict=True)
            if found
            and not found["metadata"].get("labels", {}).items()
            >= {k: v for k, v in mine["metadata"]["labels"].items() if k.endswith("/run")}.items()
        ]
        if taken:
            raise ConfigError(
                f"The namespace {self.gateway.namespace} holds {', '.join(taken)} already, which "
                "is not this run's. Name another with --namespace: one that is not there is made."
            )
        await asyncio.gather(*(self.gateway.apply(manifest) for manifest in wanted))

    async def remove(self) -> None:
        """Delete all of it, and wait until it is gone."""
        await remove_run(self.gateway, self.run, made_namespace=self.made_namespace)
        self.journal.append(Undeployed(run=self.run, at_ns=time.monotonic_ns()))


async def remove_run(gateway: Gateway, run: str, *, made_namespace: bool) -> list[str]:
    """Delete everything that carries a run's label; the names. ClusterError if something stays."""
    if made_namespace:
        namespace = gateway.namespace
        await gateway.delete("Namespace", namespace)
        await wait_gone(gateway, [path_of("Namespace", "", namespace)], NAMESPACE_SECONDS)
        return [f"Namespace {namespace}"]
    selector = f"onceproof.dev/run={run}"
    removed: list[str] = []
    for kind in OWN_KINDS:  # pods last, and the lease when nothing is left
        objects, _ = await gateway.list(kind, selector)
        for found in objects:
            name = found["metadata"]["name"]
            await gateway.delete(kind, name, uid=found["metadata"]["uid"])
            removed.append(f"{kind} {name}")
        if kind == "Pod":
            paths = [path_of(kind, gateway.namespace, one["metadata"]["name"]) for one in objects]
            await wait_gone(gateway, paths, REMOVE_SECONDS)
    return removed


async def wait_gone(gateway: Gateway, paths: list[str], seconds: float) -> None:
    """Wait until nothing is at these paths any more."""
    deadline = time.monotonic() + seconds
    left = list(paths)
    while left:
        still = []
        for path in left:
            try:
                await gateway.call("GET", path)
                still.append(path)
            except ApiError as error:
                if error.status != 404:
                    raise
        left = still
        if left and time.monotonic() >= deadline:
            raise ClusterError(
                f"{', '.join(left)} did not go within {seconds:.0f} s: `kubectl get` tells what "
                "holds it (a finalizer?). Then `onceproof heal` again."
            )
        if left:
            await asyncio.sleep(POLL_SECONDS)


def refuse_reserved(namespace: str) -> None:
    """ConfigError for namespaces that are nobody's playground."""
    if namespace == "default" or namespace.startswith("kube-"):
        raise ConfigError(
            f"The namespace {namespace} is never used for runs. Name one with --namespace."
        )


def require_chaos(namespace: Manifest) -> None:
    """ConfigError unless a namespace says that it may be shaken."""
    name = namespace["metadata"]["name"]
    if namespace["metadata"].get("labels", {}).get(CHAOS) != "enabled":
        raise ConfigError(
            f"The namespace {name} does not say that it may be shaken. If it may: "
            f"kubectl label namespace {name} {CHAOS}=enabled"
        )
    if "deletionTimestamp" in namespace["metadata"]:
        raise ConfigError(
            f"The namespace {name} is being deleted. Wait until it is gone, or name another with "
            "--namespace."
        )


assert set(OWN_KINDS) <= KINDS.keys()
