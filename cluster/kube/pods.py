"""Replicas that are pods: the `Place` of a cluster.

A replica is a pod, an incarnation is a container of it. It is called by its role and the last part
of its pod's name (`web-x7k2p`), so that a name tells the role, as everywhere.

After a crash the kubelet starts the container again, the first time at once, then after 10 s,
20 s, 40 s: so a pod that has been restarted before is deleted as soon as its end is written down,
and its Deployment makes another. The next incarnation of a replica may thus be a new pod.

Limits: `freeze` needs a shared PID namespace; a frozen pod that its kubelet finds unhealthy is
restarted, which its liveness probe should not do within a minute.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.rungs import Rung, send_signal, state_of_first
from cluster.kube.watch import PodWatch, is_ready, status_of, terminations
from cluster.place import GONE, Death, Replica
from results.errors import ClusterError

ROLE = "onceproof.dev/role"
HARNESS = "onceproof.dev/harness"
CONTAINER = "app"
THEIR_CONTAINER = "onceproof.dev/container"  # of a pod that is not ours, as we see it
LATE_SECONDS = 4.0  # from the kill to the end as the kubelet tells it, in whole seconds
STOP_SECONDS = 90.0


@dataclass(slots=True)
class Pods:
    """The pods of a watch as replicas."""

    gateway: Gateway
    watch: PodWatch
    rung: Rung | None = None  # how to crash; None: not proved yet
    death_seconds: float = 10.0
    _struck: dict[str, float] = field(default_factory=dict)  # identity -> wall clock of the kill
    _starved: set[str] = field(default_factory=set)  # identities
    _before: dict[str, set[str]] = field(
        default_factory=dict
    )  # identity -> pods older than its end
    _claimed: set[str] = field(default_factory=set)  # pods that are somebody's next incarnation

    async def replicas(self) -> Sequence[Replica]:
        """All pods that have a container, as the API server last told."""
        return [
            replica_of(pod) for pod in self.watch.now.values() if status_of(pod, container_of(pod))
        ]

    async def crash(self, replica: Replica) -> None:
        """SIGKILL this container's process; ClusterError when it is not the current one."""
        pod = self.current(replica)
        if self.rung is None:
            raise ClusterError("crash: unavailable: no way was proved to work")
        self._struck[replica.identity] = time.time()
        self.leaves(replica)
        await self.rung.kill(self.gateway, pod, container_of(pod))

    async def freeze(self, replica: Replica) -> None:
        """SIGSTOP this container's process."""
        pod = self.current(replica)
        try:
            await send_signal(self.gateway, pod["metadata"]["name"], container_of(pod), "STOP")
        except ClusterError as error:
            raise ClusterError(f"freeze: unavailable: {error}") from None

    async def thaw(self, replica: Replica) -> None:
        """SIGCONT; harmless when it was not frozen or has ended since."""
        pod = self._now(replica)
        if pod is not None and replica_of(pod).identity == replica.identity:
            if "running" not in status_of(pod, container_of(pod)).get("state", {}):
                return
            await send_signal(self.gateway, pod["metadata"]["name"], container_of(pod), "CONT")

    async def process_state(self, replica: Replica) -> str:
        """The kernel's word for this container's process: `stopped`, another, or `gone`."""
        pod = self._now(replica)
        if pod is None or replica_of(pod).identity != replica.identity:
            return GONE
        return await state_of_first(self.gateway, pod["metadata"]["name"], container_of(pod))

    async def stop(self, replica: Replica) -> None:
        """Delete the pod, as a rollout does, and wait for its end."""
        pod = self.current(replica)
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        self.leaves(replica)
        if not await self.gateway.delete("Pod", name, uid=uid):
            raise ClusterError(f"{replica.name} is not the pod that it was: ask again")
        await self.watch.until(lambda: name not in self.watch.now or None, STOP_SECONDS)

    def leaves(self, replica: Replica) -> None:
        """From now on a new pod may be its next incarnation."""
        self._before[replica.identity] = {*self.watch.now, *self.watch.gone}

    def starves(self, replica: Replica) -> None:
        """From now on the kernel is to end it for its memory."""
        self._starved.add(replica.identity)
        self.leaves(replica)

    async def death(self, replica: Replica, *, timeout_seconds: float) -> Death:
        """How this container ended; ClusterError when it has not within the deadline."""
        seconds = max(timeout_seconds, self.death_seconds)
        found = await self.watch.until(lambda: self._end(replica), seconds)
        if found is None:
            raise ClusterError(f"{replica.name} ({replica.identity}) still runs after {seconds} s")
        pod, end = found
        at_ns = time.monotonic_ns()
        facts = {
            "pod": pod["metadata"]["name"], "pod_uid": pod["metadata"]["uid"],
            "node": pod["spec"].get("nodeName", ""), "reason": end.get("reason", ""),
            "finished_at": end.get("finishedAt", ""),
        }  # fmt: skip
        doubts = []
        killed, starved = end.get("reason") == "OOMKilled", replica.identity in self._starved
        if killed and not starved:
            doubts.append("reason: the kernel killed it for its memory")
        if starved and not killed:
            doubts.append(f"reason: {end.get('reason', '')}, not OOMKilled")
        if struck := self._struck.get(replica.identity):
            doubts += late(struck, facts["finished_at"])
            doubts += await self._killed_by_kubelet(facts["pod"], end.get("startedAt", ""))
        return Death(
            replica=replica.name, identity=replica.identity, exit_code=end["exitCode"],
            signal=None, at_ns=at_ns, facts=facts, doubts=tuple(doubts),
        )  # fmt: skip

    async def recovered(self, replica: Replica, *, timeout_seconds: float) -> Replica:
        """The next incarnation, once it is ready: this pod's next container, or a new pod."""
        deadline = time.monotonic() + timeout_seconds
        pod = self._now(replica)
        if pod is not None and replica.restarts > 0 and "deletionTimestamp" not in pod["metadata"]:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            await self.gateway.delete("Pod", name, uid=uid)
        found = await self.watch.until(lambda: self._next(replica), deadline - time.monotonic())
        if found is None:
            raise ClusterError(
                f"{replica.name} was not ready again within {timeout_seconds:.0f} s: "
                f"`kubectl describe pod -n {self.gateway.namespace}` tells why"
            )
        return found

    # ------------------------------------------------------------------ looking

    def _now(self, replica: Replica) -> Manifest | None:
        """Its pod, as long as it is there."""
        pods = self.watch.now.values()
        return next((pod for pod in pods if replica_name(pod) == replica.name), None)

    def current(self, replica: Replica) -> Manifest:
        """Its pod; ClusterError when that holds another incarnation by now."""
        pod = self._now(replica)
        if pod is None or replica_of(pod).identity != replica.identity:
            raise ClusterError(
                f"{replica.name} ({replica.identity}) is not the container that runs now: "
                "ask for the replicas again"
            )
        return pod

    def last_seen(self, replica: Replica) -> Manifest:
        """Its pod as it was last told; ClusterError when nobody has told of it."""
        for pods in (self.watch.now, self.watch.gone):
            for pod in pods.values():
                if replica_name(pod) == replica.name:
                    return pod
        raise ClusterError(f"nobody has told of a pod of {replica.name}")

    def _end(self, replica: Replica) -> tuple[Manifest, dict[str, Any]] | None:
        for pods in (self.watch.now, self.watch.gone):
            for pod in pods.values():
                if replica_name(pod) != replica.name:
                    continue
                for end in terminations(pod, container_of(pod)):
                    if f"container:{end.get('containerID', '')}" == replica.identity:
                        return pod, end
        return None

    def _next(self, replica: Replica) -> Replica | None:
        own = self._now(replica)
        if own is not None and is_ready(own):
            now = replica_of(own)
            if now.identity != replica.identity:
                return now
        if own is not None and "deletionTimestamp" not in own["metadata"]:
            return None
        # The oldest pod that is nobody's yet: a younger one may be the only one that another
        # victim can have. It may be a victim of another fault by now; it has been ready then.
        older = self._before.get(replica.identity, set()) | self._claimed
        pods = {**self.watch.gone, **self.watch.now}
        new = [
            pod for name, pod in pods.items() if name not in older and is_replica(pod["metadata"])
        ]
        for pod in sorted(new, key=lambda one: str(one["metadata"].get("creationTimestamp", ""))):
            now = replica_of(pod)
            if now.role != replica.role:
                continue
            if not now.ready and "deletionTimestamp" not in pod["metadata"]:
                return None
            self._claimed.add(pod["metadata"]["name"])
            return now
        return None

    async def _killed_by_kubelet(self, pod: str, since: str) -> list[str]:
        """A doubt for each time that a probe ended it; what came before this container did not."""
        events, _ = await self.gateway.list(
            "Event", fields=f"involvedObject.name={pod},reason=Killing"
        )
        return [
            f"killed: by the kubelet, too: {event.get('message', '')[:100]}"
            for event in events
            if "probe" in event.get("message", "")
            and (event.get("lastTimestamp") or event.get("eventTime") or since) >= since
        ]


def is_replica(metadata: dict[str, Any]) -> bool:
    """Whether a pod (or a template of pods) is of the service under test, by its labels."""
    labels = metadata.get("labels", {})
    return ROLE in labels and HARNESS not in labels


def container_of(pod: Manifest) -> str:
    """The container that is the replica; the others are its sidecars."""
    return str(pod["metadata"].get("annotations", {}).get(THEIR_CONTAINER, CONTAINER))


def replica_name(pod: Manifest) -> str:
    """What a pod's replica is called: its role, and the last part of the pod's name."""
    role = pod["metadata"].get("labels", {}).get(ROLE, "")
    return f"{role}-{pod['metadata']['name'].rpartition('-')[2]}"


def replica_of(pod: Manifest) -> Replica:
    """A pod as the rest of the harness sees it."""
    status = status_of(pod, container_of(pod))
    running = "running" in status.get("state", {})
    return Replica(
        name=replica_name(pod),
        role=pod["metadata"]["labels"].get(ROLE, ""),
        identity=f"container:{status.get('containerID', '')}",
        url="",
        restarts=int(status.get("restartCount", 0)),
        ready=running and is_ready(pod),
    )


def late(struck: float, finished: str) -> list[str]:
    """A doubt if the end does not belong to the kill, by the node's clock."""
    if not finished:
        return ["finished: the kubelet told no time"]
    after = datetime.fromisoformat(finished).timestamp() - struck
    if -2.0 <= after <= LATE_SECONDS:
        return []
    return [f"finished: {after:.1f} s after the kill by the node's clock"]
