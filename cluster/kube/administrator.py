"""What a cluster's administrator does on a working day: evict, drain, scale, roll out, lose a node.

None of it is a crash, and a service must lose nothing by any of it. Each is asked of the API
server as kubectl asks it (an eviction by uid, which a disruption budget may refuse; a template's
annotation; the `scale` of a Deployment), so the cluster's own controllers do the rest.

Memory is used up by many small processes in the victim's container, of which none is larger than
the victim; the victim itself is offered to the kernel first (`oom_score_adj`). So it dies of it
whether the kernel ends one process of the container or all of them.

Limits: one Deployment of web replicas. A node is taken down by a command of the user's, since no
API can. `starve` needs a shared PID namespace, a shell, `head` and `tail` in the image.
"""

import asyncio
import shlex
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from cluster.kube.autoscaler import Autoscaler
from cluster.kube.changes import Changes, is_node_ready
from cluster.kube.channels import execute
from cluster.kube.gateway import MERGE_PATCH, ApiError, Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.pods import HARNESS, Pods, container_of, is_replica, replica_of
from cluster.kube.rungs import FIND_FIRST, told
from cluster.kube.theirs import is_settled
from cluster.kube.watch import status_of
from cluster.place import Autoscaled, Replica
from results.errors import ClusterError, ConfigError

EVICT_SECONDS = 180.0
EVICT_EVERY_SECONDS = 1.0
COMMAND_SECONDS = 180.0
STARVE_SECONDS = 30.0
STARVE_BYTES = 24_000_000  # of one process
POLL_SECONDS = 0.3
RESTARTED = "onceproof.dev/restartedAt"
CORDONED, SCALED, TAKEN_DOWN = "cordoned", "scaled", "taken down"
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

STARVE = f"""
count=$1; bytes=$2
{FIND_FIRST}
echo 1000 >/proc/"$best"/oom_score_adj || exit 3
n=0
while [ "$n" -lt "$count" ]; do
  {{ head -c "$bytes" /dev/zero; sleep 60; }} | tail -n 1 >/dev/null &
  n=$((n + 1))
done
while kill -0 "$best" 2>/dev/null; do sleep 0.2; done
"""


@dataclass(slots=True)
class PodAdministrator:
    """One Deployment of web replicas, and the nodes below it."""

    gateway: Gateway
    place: Pods
    changes: Changes
    deployment: str
    node_down: str = ""  # commands; {node} stands for the node's name
    node_up: str = ""
    autoscaler: Autoscaler | None = None  # None: none may be made

    # ------------------------------------------------------------------ pods

    async def evict(self, replica: Replica) -> int:
        """Evict it; how often a disruption budget refused before it was granted."""
        name, uid = self._object(replica)
        deadline = time.monotonic() + EVICT_SECONDS
        refusals = 0
        while True:
            self.place.leaves(replica)
            try:
                await self.gateway.evict(name, uid=uid)
            except ApiError as error:
                if error.status in (404, 409):
                    raise ClusterError(f"{replica.name} is not the pod that it was") from None
                if error.status != 429:
                    raise
                refusals += 1
                if time.monotonic() >= deadline:
                    raise ClusterError(
                        f"{replica.name} was not let go within {EVICT_SECONDS:.0f} s: {error}"
                    ) from None
                await asyncio.sleep(EVICT_EVERY_SECONDS)
            else:
                return refusals

    def disruption(self, replica: Replica) -> str:
        """The reason in the pod's own condition `DisruptionTarget`."""
        for condition in self.place.last_seen(replica).get("status", {}).get("conditions", ()):
            if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
                return str(condition.get("reason", ""))
        return ""

    async def forget(self, replica: Replica) -> None:
        """Delete its object at once, without waiting for its process."""
        name, uid = self._object(replica)
        self.place.leaves(replica)
        if not await self.gateway.delete("Pod", name, uid=uid, grace_seconds=0):
            raise ClusterError(f"{replica.name} is not the pod that it was: ask again")

    async def known(self, replica: Replica) -> bool:
        """Whether the API server still has an object with its uid."""
        metadata = self.place.last_seen(replica)["metadata"]
        found = await self.gateway.get("Pod", metadata["name"])
        return found is not None and found["metadata"]["uid"] == metadata["uid"]

    async def starve(self, replica: Replica) -> None:
        """Use up the memory of its container until the kernel ends it."""
        pod = self.place.current(replica)
        limit = memory_limit(pod)
        if limit is None:
            raise ClusterError("oom: unavailable: the container has no memory limit")
        self.place.starves(replica)
        count = limit // STARVE_BYTES + 4
        answer = await execute(
            self.gateway, pod["metadata"]["name"], container_of(pod),
            ("sh", "-c", STARVE, "starve", str(count), str(STARVE_BYTES)),
            timeout_seconds=STARVE_SECONDS,
        )  # fmt: skip
        told(answer, pod["metadata"]["name"])

    def _object(self, replica: Replica) -> tuple[str, str]:
        metadata = self.place.current(replica)["metadata"]
        return metadata["name"], metadata["uid"]

    # ------------------------------------------------------------------ nodes

    def node_to_lose(self) -> str:
        """A node with web replicas and without our own parts; ClusterError if there is none."""
        pods = self.place.watch.now.values()
        ours = {node_of(pod) for pod in pods if HARNESS in pod["metadata"].get("labels", {})}
        web = Counter(node_of(pod) for pod in pods if is_web(pod))
        spare = {node: count for node, count in web.items() if node and node not in ours}
        if not spare or len(web) < 2:
            raise ClusterError(
                "no node has web replicas, none of our own parts, and others beside it to go on: "
                "it takes two nodes, and replicas that are spread over them"
            )
        return max(spare, key=lambda node: (spare[node], node))

    def on_node(self, node: str) -> list[Replica]:
        """The replicas of all roles that run there."""
        return [
            replica_of(pod)
            for pod in self.place.watch.now.values()
            if is_replica(pod["metadata"])
            and node_of(pod) == node
            and "running" in status_of(pod, container_of(pod)).get("state", {})
        ]

    async def cordon(self, node: str) -> None:
        """Let no new pod onto it; ClusterError if somebody else did so before."""
        if await self.cordoned(node):
            raise ClusterError(f"{node} is cordoned already, and not by us")
        self.changes.intend("Node", node, CORDONED, undo={"spec": {"unschedulable": None}})
        await self.gateway.patch(
            "Node", node, {"spec": {"unschedulable": True}}, content_type=MERGE_PATCH
        )

    async def uncordon(self, node: str) -> None:
        """Let pods onto it again; harmless when it was not cordoned by us."""
        await self.changes.restore("Node", node, CORDONED)

    async def cordoned(self, node: str) -> bool:
        """Whether the scheduler lets no pod onto it."""
        found = await self.gateway.get("Node", node) or {}
        return bool(found.get("spec", {}).get("unschedulable"))

    async def power(self, node: str, *, on: bool) -> None:
        """Run the user's command that takes a node down, or brings it back."""
        up = words_of(self.node_up, node)
        if not on:
            self.changes.intend("Node", node, TAKEN_DOWN, undo={}, by_hand=shlex.join(up))
        await run_command(up if on else words_of(self.node_down, node))

    async def node_becomes(self, node: str, *, ready: bool, timeout_seconds: float) -> bool:
        """Wait until the cluster calls it (not) ready; False at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        while is_node_ready(await self.gateway.get("Node", node)) != ready:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        if ready:
            self.changes.restored("Node", node, TAKEN_DOWN)
        return True

    # ------------------------------------------------------------------ the Deployment

    async def scale(self, count: int) -> int:
        """Ask for so many web replicas; how many were asked for before."""
        before = int((await self._deployment())["spec"]["replicas"])
        if not self.changes.is_open("Deployment", self.deployment, SCALED):
            undo = {"spec": {"replicas": before}}
            self.changes.intend("Deployment", self.deployment, SCALED, undo=undo)
        self._all_may_leave()
        await self.gateway.patch(
            "Deployment", self.deployment, {"spec": {"replicas": count}}, content_type=MERGE_PATCH
        )
        return before

    async def unscale(self) -> None:
        """Ask for as many as at first; harmless when nothing was scaled."""
        await self.changes.restore("Deployment", self.deployment, SCALED)

    async def autoscale(self, most: int, *, cpu_percent: int, calm_seconds: int) -> int:
        """Have an autoscaler decide how many there are, on CPU; how many were asked for before."""
        least = int((await self._deployment())["spec"]["replicas"])
        self._all_may_leave()
        await self._own_autoscaler().make(
            least, most, cpu_percent=cpu_percent, calm_seconds=calm_seconds
        )
        return least

    async def autoscaled(self) -> Autoscaled:
        """What it has seen and asked for, and who is there."""
        seen = await self._own_autoscaler().seen()
        deployment = await self._deployment()
        ready, settled = self._ready(deployment)
        return Autoscaled(
            wanted=deployment["spec"]["replicas"], cpu_percent=seen.cpu_percent,
            ready=tuple(ready), settled=settled, words=seen.words,
        )  # fmt: skip

    async def unautoscale(self) -> None:
        """No autoscaler any more, and as many as at first; harmless when there was none."""
        autoscaler = self._own_autoscaler()
        if (least := await autoscaler.remove()) is not None:
            await self.gateway.patch(
                "Deployment", self.deployment, {"spec": {"replicas": least}},
                content_type=MERGE_PATCH,
            )  # fmt: skip

    def _own_autoscaler(self) -> Autoscaler:
        if self.autoscaler is None:
            raise ClusterError("autoscale: of a Deployment of yours only the database is changed")
        return self.autoscaler

    async def roll_out(self) -> None:
        """Change the template's annotation, as `kubectl rollout restart` does."""
        self._all_may_leave()
        now = datetime.now(UTC).isoformat()
        body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}}
        await self.gateway.patch("Deployment", self.deployment, body, content_type=MERGE_PATCH)

    async def settled(self, *, timeout_seconds: float) -> list[Replica]:
        """The web replicas once they are those that were asked for; ClusterError if not in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            deployment = await self._deployment()
            ready, settled = self._ready(deployment)
            if settled:
                return ready
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"{len(ready)} web replicas were ready after {timeout_seconds:.0f} s, where "
                    f"{deployment['spec']['replicas']} were asked for: "
                    f"`kubectl describe deployment {self.deployment}` tells why"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _ready(self, deployment: Manifest) -> tuple[list[Replica], bool]:
        """The web replicas that are ready, and whether they are those that were asked for."""
        web = [replica_of(pod) for pod in self.place.watch.now.values() if is_web(pod)]
        ready = [replica for replica in web if replica.ready]
        wanted = deployment["spec"]["replicas"]
        return ready, is_settled(deployment) and len(ready) == wanted == len(web)

    async def _deployment(self) -> Manifest:
        found = await self.gateway.get("Deployment", self.deployment)
        if found is None:
            raise ClusterError(f"There is no Deployment {self.deployment} any more.")
        return found

    def _all_may_leave(self) -> None:
        for pod in self.place.watch.now.values():
            if is_web(pod):
                self.place.leaves(replica_of(pod))


def node_of(pod: Manifest) -> str:
    """Where a pod runs; "" as long as it runs nowhere."""
    return str(pod["spec"].get("nodeName", ""))


def is_web(pod: Manifest) -> bool:
    """Whether it is a web replica that is not on its way out."""
    metadata = pod["metadata"]
    if not is_replica(metadata) or "deletionTimestamp" in metadata:
        return False
    return replica_of(pod).role == "web"


def memory_limit(pod: Manifest) -> int | None:
    """The memory limit of a pod's container in bytes."""
    (spec,) = [one for one in pod["spec"]["containers"] if one["name"] == container_of(pod)]
    text = str(spec.get("resources", {}).get("limits", {}).get("memory", ""))
    number = text.rstrip("kKMGi")
    unit = UNITS.get(text[len(number) :])
    return int(float(number)) * unit if number and unit else None


def words_of(command: str, node: str) -> list[str]:
    """A command of the user's for one node; ConfigError when it is none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--node-down, --node-up: {command!r}: {error}.") from None
    if not words or not any("{node}" in word for word in words):
        raise ConfigError(
            f"--node-down, --node-up: {command!r}: expected a command with {{node}} in it, which "
            "stands for the node's name."
        )
    return [word.replace("{node}", node) for word in words]


async def run_command(words: list[str]) -> None:
    """Run a command to its end; ClusterError, with its last words, when it fails or hangs."""
    with tempfile.TemporaryFile() as output:  # not a pipe: what it leaves running may keep that
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ClusterError(f"{words[0]!r} cannot be started: {error.strerror}") from None
        try:
            await asyncio.wait_for(process.wait(), COMMAND_SECONDS)
        except TimeoutError:
            raise ClusterError(f"{words[0]} did not end within {COMMAND_SECONDS:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            output.seek(0)
            said = output.read()[-300:].decode(errors="replace").strip()
            raise ClusterError(f"{words[0]} ended with {process.returncode}: {said}")
