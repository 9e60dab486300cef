"""How to SIGKILL (or stop) a container's process for real: a ladder, the easiest rung first.

A delete is not a crash: the kubelet sends SIGTERM first, also at grace 0. `kill -9 1` by exec is
not one either: a namespace protects its first process from its own members, and kill says 0.

| rung | how | needs |
|---|---|---|
| shared-pid | `kill` by exec | `shareProcessNamespace`, a shell in the image |
| ptrace | seize PID 1 by exec with EXITKILL and exit: the kernel kills it | python in the image |
| helper | the same from an ephemeral container of our image | the right to add one |

Which one works is tried on a pod that is made for it, before anything else is touched. None works:
`crash: unavailable`, and why; nothing else is done in its place and called a crash.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cluster.kube.channels import Executed, execute
from cluster.kube.gateway import STRATEGIC_PATCH, Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.watch import HOPELESS, status_of, stuck, terminations
from cluster.place import GONE, STOPPED
from results.errors import ClusterError

EXEC_SECONDS = 10.0
DEATH_SECONDS = 8.0
START_SECONDS = 60.0
POLL_SECONDS = 0.1
KILLED = 137  # 128 + 9

# The first process of a container in a shared namespace: of those that are in the container's own
# cgroup (a sidecar's are not) a child of nobody, and the oldest.
FIND_FIRST = """
read -r first </proc/1/comm; [ "$first" = pause ] || { echo "no shared PID namespace" >&2; exit 3; }
read -r mine </proc/self/cgroup
best=; begun=
for folder in /proc/[0-9]*; do
  pid=${folder#/proc/}; [ "$pid" = 1 ] || [ "$pid" = $$ ] && continue
  read -r line <"$folder/stat" || continue
  set -- ${line##*) }
  [ "$2" = 0 ] || continue
  read -r whose <"$folder/cgroup" && [ "$whose" = "$mine" ] || continue
  shift 19
  if [ -z "$best" ] || [ "$1" -lt "$begun" ]; then best=$pid; begun=$1; fi
done
[ -n "$best" ] || { echo "no process to signal" >&2; exit 3; }
"""
SIGNAL_FIRST = FIND_FIRST + 'kill -"$0" "$best"\n'
STATE_OF_FIRST = (
    FIND_FIRST
    + """
while read -r key word _; do [ "$key" = State: ] && echo "$word"; done </proc/"$best"/status; :
"""
)
STATES = {"R": "running", "S": "sleeping", "D": "disk-sleep", "T": STOPPED, "Z": GONE, "X": GONE}

SEIZE_AND_EXIT = """
import ctypes, os
if open("/proc/1/comm").read() == "pause\\n":
    raise SystemExit("ptrace: PID 1 is the pod's, not the container's (a shared PID namespace)")
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, 1, 0, 0x100000):
    lines = open("/proc/1/status").read().splitlines()
    ids = [line.split()[1] for line in lines if line.startswith(("Uid:", "Gid:"))]
    raise SystemExit("ptrace: errno %d; PID 1 is %s, this is %d:%d" % (
        ctypes.get_errno(), ":".join(ids), os.getuid(), os.getgid()))
"""


@dataclass(frozen=True, slots=True)
class Rung:
    """A way that was proved to work."""

    name: str
    helper_image: str = ""

    async def kill(self, gateway: Gateway, pod: Manifest, container: str) -> None:
        """SIGKILL a container's first process; ClusterError when that was refused for sure."""
        name = pod["metadata"]["name"]
        match self.name:
            case "shared-pid":
                await send_signal(gateway, name, container, "KILL")
            case "ptrace":
                await seize(gateway, name, container)
            case "helper":
                await add_helper(gateway, pod, container, self.helper_image)
            case _:
                raise AssertionError(self.name)


async def send_signal(gateway: Gateway, pod: str, container: str, signal: str) -> None:
    """Signal the first process of a container in a shared namespace."""
    command = ("sh", "-c", SIGNAL_FIRST, signal)
    told(await execute(gateway, pod, container, command, timeout_seconds=EXEC_SECONDS), pod)


async def state_of_first(gateway: Gateway, pod: str, container: str) -> str:
    """The kernel's word for the first process of a container in a shared namespace."""
    command = ("sh", "-c", STATE_OF_FIRST)
    answer = await execute(gateway, pod, container, command, timeout_seconds=EXEC_SECONDS)
    told(answer, pod)
    letter = answer.stdout.decode(errors="replace").strip()
    return STATES.get(letter, letter or GONE)  # its container died under the question: no letter


async def seize(gateway: Gateway, pod: str, container: str) -> None:
    """Have the kernel kill PID 1, by a tracer that exits."""
    command = ("python", "-c", SEIZE_AND_EXIT)
    told(await execute(gateway, pod, container, command, timeout_seconds=EXEC_SECONDS), pod)


def told(answer: Executed, pod: str) -> None:
    """A status says whether it was done; none is how a command ends whose container died."""
    if answer.status not in (0, None, KILLED):
        raise ClusterError(f"{pod}: {answer.said}")
    if answer.status is None and (answer.stderr or not answer.begun):
        raise ClusterError(f"{pod}: {answer.said}")


async def add_helper(gateway: Gateway, pod: Manifest, container: str, image: str) -> None:
    """Add an ephemeral container beside the victim's that seizes its PID 1.

    It must run as the victim's user and group: those that the pod asks for, else those that the
    kubelet tells of (not every one does).
    """
    spec = next(one for one in pod["spec"]["containers"] if one["name"] == container)
    found = status_of(pod, container).get("user", {}).get("linux", {})
    ids = {} if not found else {"runAsUser": found["uid"], "runAsGroup": found["gid"]}
    helper: dict[str, Any] = {
        "name": f"onceproof-crash-{secrets.token_hex(3)}",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "targetContainerName": container,
        "command": ["python", "-c", SEIZE_AND_EXIT],
        "securityContext": {**ids, **spec.get("securityContext", {})},
    }
    await gateway.patch(
        "Pod", pod["metadata"]["name"], {"spec": {"ephemeralContainers": [helper]}},
        subresource="ephemeralcontainers", content_type=STRATEGIC_PATCH,
    )  # fmt: skip


async def prove(
    gateway: Gateway, template: Manifest, container: str, *, labels: dict[str, str],
    helper_image: str,
) -> Rung:  # fmt: skip
    """Crash a pod made from a template, rung after rung, until one is seen to kill.

    ClusterError "crash: unavailable", with the reason of each rung, when none does.
    """
    reasons: list[str] = []
    for rung in (Rung("shared-pid"), Rung("ptrace"), Rung("helper", helper_image)):
        # A pod each: a kill that comes late must not speak for the next rung.
        async with sacrifice(gateway, template, container, labels) as pod:
            try:
                await rung.kill(gateway, pod, container)
                await killed(gateway, pod["metadata"]["name"], container)
            except ClusterError as error:
                reasons.append(f"{rung.name}: {error}")
            else:
                return rung
    raise ClusterError(f"crash: unavailable: {'; '.join(reasons)}.")


@asynccontextmanager
async def sacrifice(
    gateway: Gateway, template: Manifest, container: str, labels: dict[str, str]
) -> AsyncIterator[Manifest]:
    """A running pod like those of a template, for the time of the context."""
    name = f"onceproof-sacrifice-{secrets.token_hex(3)}"
    pod = await gateway.create({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels,
                     "annotations": template["metadata"].get("annotations", {})},
        "spec": {**template["spec"], "restartPolicy": "Never"},
    })  # fmt: skip
    try:
        yield await running(gateway, name, container)
    finally:
        await gateway.delete("Pod", name, uid=pod["metadata"]["uid"], grace_seconds=0)


async def running(gateway: Gateway, name: str, container: str) -> Manifest:
    """Wait until a pod's container runs."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        pod = await gateway.get("Pod", name)
        if pod is not None and "running" in status_of(pod, container).get("state", {}):
            return pod
        if pod is not None and terminations(pod, container):
            raise ClusterError(f"The pod {name} ended by itself before it could be crashed.")
        if pod is not None and (why := stuck(pod)):
            raise ClusterError(f"The pod {name} does not start: {why}.")
        await asyncio.sleep(POLL_SECONDS)
    raise ClusterError(f"The pod {name} did not start within {START_SECONDS:.0f} s.")


async def killed(gateway: Gateway, name: str, container: str) -> None:
    """Wait until a pod's container was ended by SIGKILL; ClusterError, saying why, if not.

    A helper whose image is on its way is waited for, as a pod is; its end is not its victim's.
    """
    begun, helped = time.monotonic(), ""
    deadline = begun + DEATH_SECONDS
    while time.monotonic() < deadline:
        pod = await gateway.get("Pod", name) or {}
        for end in terminations(pod, container):
            if end["exitCode"] != KILLED or end.get("reason") == "OOMKilled":
                raise ClusterError(
                    f"it ended with exit code {end['exitCode']} ({end.get('reason', '')})"
                )
            return
        for helper in pod.get("status", {}).get("ephemeralContainerStatuses", ()):
            state = helper.get("state", {})
            if waiting := state.get("waiting"):
                deadline = begun + START_SECONDS
                helped = f": the helper waits: {waiting.get('reason', '')}"
                if waiting.get("reason") in HOPELESS:
                    raise ClusterError(f"the helper does not start: {waiting['reason']}")
            elif ended := state.get("terminated"):
                if ended["exitCode"]:
                    said = await gateway.logs(name, helper["name"], tail_lines=5)
                    raise ClusterError(
                        f"the helper ended with exit code {ended['exitCode']}: {said.strip()}"
                    )
                deadline = min(deadline, time.monotonic() + DEATH_SECONDS)
        await asyncio.sleep(POLL_SECONDS)
    raise ClusterError(f"it still ran after {time.monotonic() - begun:.0f} s{helped}")
