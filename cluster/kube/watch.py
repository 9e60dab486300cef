"""The pods of a selector as they are now: a list that keeps itself up to date.

List, then watch from the list's version on; when the watch ends, breaks or is too old (410 Gone)
list again, and tell the difference. An API server that is away for a while is waited for: until it
is back the picture is old, and whoever waits for a change in it has a deadline of their own.

A pod that is gone is remembered as it last was: how its containers ended stands there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from results.errors import ClusterError

AGAIN_SECONDS = 0.2
AGAIN_MAX_SECONDS = 2.0
GONE_MAX = 2_000  # remembered
HOPELESS = (
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip
PASSING = "failed to sync"  # a kubelet that has not fetched a Secret or a ConfigMap yet: it will
log = logging.getLogger(__name__)
_Found = TypeVar("_Found")
OnPod = Callable[[Manifest, bool], None]  # a pod, and whether it has gone
See = Callable[[Manifest], Manifest | None]  # a pod as we see it; None: not ours to look at


class PodWatch:
    """All pods of one selector in one namespace; of those, the ones that `see` lets through."""

    def __init__(
        self, gateway: Gateway, selector: str, on_pod: OnPod | None = None,
        see: See = lambda pod: pod,
    ) -> None:  # fmt: skip
        self._see = see
        self.now: dict[str, Manifest] = {}  # by name
        self.gone: dict[str, Manifest] = {}  # by name, as they last were
        self.seen_ns = 0  # when the last word of the API server came
        self._gateway = gateway
        self._selector = selector
        self._on_pod = on_pod
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._relist()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def until(self, look: Callable[[], _Found | None], seconds: float) -> _Found | None:
        """Look after every change until something is there; None at the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                while (found := look()) is None:
                    self._require_alive()
                    await self._changed.wait()
                return found
        return look()

    def _require_alive(self) -> None:
        """Nobody waits for what will never be seen."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            raise ClusterError(f"The watch of the pods ended: {self._task.exception()!r}.")

    async def _run(self) -> None:
        try:
            await self._keep()
        finally:
            async with self._changed:  # whoever waits looks once more, and sees that it ended
                self._changed.notify_all()

    async def _keep(self) -> None:
        version, pause_seconds = self._version, AGAIN_SECONDS
        while True:
            try:
                if not version:
                    version = await self._relist()
                async for event in self._gateway.watch("Pod", self._selector, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    pause_seconds = AGAIN_SECONDS
                    if event["type"] == "BOOKMARK":
                        self.seen_ns = time.monotonic_ns()
                    elif (pod := self._see(event["object"])) is not None:
                        await self._take(event["type"], pod)
                await asyncio.sleep(AGAIN_SECONDS)  # some proxies end every watch at once
            except ClusterError as error:
                log.info("watch: %s", error)
                version = ""  # what happened meanwhile is only known by a new list
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(AGAIN_MAX_SECONDS, pause_seconds * 2)

    async def _relist(self) -> str:
        found, self._version = await self._gateway.list("Pod", self._selector)
        pods = [pod for one in found if (pod := self._see(one)) is not None]
        listed = {pod["metadata"]["name"]: pod for pod in pods}
        for name in self.now.keys() - listed.keys():
            await self._take("DELETED", self.now[name])
        for pod in pods:
            await self._take("MODIFIED", pod)
        return self._version

    async def _take(self, what: str, pod: Manifest) -> None:
        self.seen_ns = time.monotonic_ns()
        name = pod["metadata"]["name"]
        if what == "DELETED":
            self.now.pop(name, None)
            self.gone[name] = pod
            if len(self.gone) > GONE_MAX:
                self.gone.pop(next(iter(self.gone)))
        else:
            before = self.now.get(name)
            if before is not None and before["metadata"]["uid"] != pod["metadata"]["uid"]:
                await self._take("DELETED", before)  # its end was missed, its name is another's
            self.now[name] = pod
        if self._on_pod is not None:
            self._on_pod(pod, what == "DELETED")
        async with self._changed:
            self._changed.notify_all()


def status_of(pod: Manifest, container: str) -> dict[str, Any]:
    """What the kubelet says of one container; {} as long as it says nothing."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == container:
            return dict(status)
    return {}


def is_ready(pod: Manifest) -> bool:
    """Whether it answers, and is not on its way out."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def stuck(pod: Manifest) -> str:
    """Why a pod will not start without help, in the kubelet's words; "" if nothing is known."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        waiting = status.get("state", {}).get("waiting", {})
        if PASSING in waiting.get("message", ""):
            continue
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')[:300]}"
    for one in pod.get("status", {}).get("conditions", ()):
        if one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable":
            return f"Unschedulable: {one.get('message', '')[:300]}"
    return ""


def terminations(pod: Manifest, container: str) -> list[dict[str, Any]]:
    """The ends of a container that its pod still tells of, the newest first."""
    status = status_of(pod, container)
    ends = (
        status.get("state", {}).get("terminated"),
        status.get("lastState", {}).get("terminated"),
    )
    return [end for end in ends if end]
