"""What a run puts into a namespace, and how all of it goes again.

A namespace must have said that it may be shaken (`onceproof.dev/chaos=enabled`); one that is not
there is made, and deleted again. A Lease keeps two runs out of one namespace, and nothing that
was there before is replaced. Every object carries the run's label, and the journal names label
and namespace before the first object is made: so `remove` finds everything, also after the runner
was killed.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from cluster.journal import Journal
from cluster.kube.gateway import ApiError, Gateway
from cluster.kube.kinds import KINDS, Manifest, name_of
from cluster.kube.manifests import CHAOS, NAME, OWN_KINDS, RUN, label
from results.errors import ClusterError, ConfigError, OnceproofError
from results.footprint import Deployed, Undeployed

REMOVE_SECONDS = 90.0
RUNNER = "onceproof.dev/role=runner"
NAMESPACE_SECONDS = 120.0
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Installation:
    """The objects of one run in one namespace."""

    gateway: Gateway
    run: str
    journal: Journal
    alone: bool = True  # no other run in its namespace
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
                made: Manifest = {
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": namespace, "labels": {CHAOS: "enabled"}},
                }  # fmt: skip
                label(made["metadata"], self.run)  # only that one is deleted again
                await self.gateway.create(made)
            if self.alone:
                await self._lease()
        except BaseException:
            with contextlib.suppress(OnceproofError):  # then the journal says that `heal` must
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
            if found and found["metadata"].get("labels", {}).get(RUN) != self.run
        ]
        if taken:
            raise ConfigError(
                f"The namespace {self.gateway.namespace} holds {', '.join(taken)} already, which "
                "is not this run's. Name another with --namespace: one that is not there is made."
            )
        done = await asyncio.gather(
            *(self.gateway.apply(manifest) for manifest in wanted), return_exceptions=True
        )
        for outcome in done:  # only when all are at rest: nothing is made behind a removal's back
            if isinstance(outcome, BaseException):
                raise outcome

    async def remove(self) -> None:
        """Delete all of it, and wait until it is gone."""
        await remove_run(self.gateway, self.run, made_namespace=self.made_namespace)
        self.journal.append(Undeployed(run=self.run, at_ns=time.monotonic_ns()))


async def remove_run(gateway: Gateway, run: str, *, made_namespace: bool) -> list[str]:
    """Delete everything that carries a run's label; the names. ClusterError if something stays.

    Looks until nothing is left: a controller makes a pod in the last moment, a call that was cut
    makes an object late. Pods are not given time to drain: nothing of theirs is needed any more.
    """
    await end_runner(gateway, run)
    removed: dict[str, str] = {}  # uid -> what it was

    async def nothing_left() -> bool:
        left = False
        for kind in OWN_KINDS:
            objects, _ = await gateway.list(kind, f"{RUN}={run}")
            for metadata in (found["metadata"] for found in objects):
                left = True
                if metadata["uid"] not in removed:
                    await gateway.delete(
                        kind, metadata["name"], uid=metadata["uid"],
                        grace_seconds=1 if kind == "Pod" else None,
                    )  # fmt: skip
                    removed[metadata["uid"]] = f"{kind} {metadata['name']}"
        return not left

    await wait_until(nothing_left, REMOVE_SECONDS, f"What carries the label {RUN}={run}")
    names = list(removed.values())
    if made_namespace and await remove_namespace(gateway, run):
        names.append(f"Namespace {gateway.namespace}")
    return names


async def end_runner(gateway: Gateway, run: str) -> None:
    """A runner in the cluster cleans up after itself, as long as it may: it goes first."""

    async def gone() -> bool:
        pods, _ = await gateway.list("Pod", f"{RUN}={run},{RUNNER}")
        for metadata in (pod["metadata"] for pod in pods):
            if "deletionTimestamp" not in metadata:
                await gateway.delete("Pod", metadata["name"], uid=metadata["uid"])
        return not pods

    await wait_until(gone, REMOVE_SECONDS, f"The runner of {run}")


async def remove_namespace(gateway: Gateway, run: str) -> bool:
    """Delete the namespace that a run has made; False when it is not there, or another's."""
    found = await gateway.get("Namespace", gateway.namespace)
    if found is None or found["metadata"].get("labels", {}).get(RUN) != run:
        return False
    uid = found["metadata"]["uid"]
    await gateway.delete("Namespace", gateway.namespace, uid=uid)
    if not await gateway.gone(
        "Namespace", gateway.namespace, uid=uid, timeout_seconds=NAMESPACE_SECONDS
    ):
        raise stays(f"The namespace {gateway.namespace}", NAMESPACE_SECONDS)
    return True


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    """Ask again and again; ClusterError when something has not gone by the deadline."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() >= deadline:
            raise stays(what, seconds)
        await asyncio.sleep(POLL_SECONDS)


def stays(what: str, seconds: float) -> ClusterError:
    """The sentence for what was deleted and is there all the same."""
    return ClusterError(
        f"{what} did not go within {seconds:.0f} s: `kubectl describe` tells what holds it (a "
        "finalizer?). Then `onceproof heal`."
    )


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
