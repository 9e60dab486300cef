"""The API server, spoken to in plain JSON: every call has a deadline, and a sentence if it fails.

A cluster's API is at times away (an upgrade of its control plane, a throttle, a cut connection),
and none of that is the service's fault. A call that can be repeated without harm is repeated,
slower and slower, until its deadline; 429 is obeyed. What cannot be repeated (a delete with a
uid can: the second one finds nothing or another) is only where it surely was not carried out.

Limits: no pagination beyond `LIST_MAX` objects of a kind in one namespace.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp

from cluster.kube.access import Access, find_access
from cluster.kube.kinds import Manifest, path_of
from results.errors import ClusterError

CALL_SECONDS = 20.0
ATTEMPT_SECONDS = 8.0
WATCH_SECONDS = 240  # the server ends a watch after that; it is begun again
WATCH_SILENCE_SECONDS = 90.0  # without even a bookmark
LIST_MAX = 5_000
FIELD_MANAGER = "onceproof"
JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
AGAIN = {408, 429, 500, 502, 503, 504}


class ApiError(ClusterError):
    """The API server's own refusal, with its status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Gateway:
    """One namespace of one cluster."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.access = access
        self.namespace = namespace
        self._session = access.session()

    @classmethod
    async def connect(cls, context: str | None, namespace: str) -> Self:
        """Find the cluster and see that it answers; ConfigError or ClusterError if not."""
        gateway = cls(await find_access(context), namespace)
        try:
            await gateway.call("GET", "/version")
        except BaseException:
            await gateway.close()
            raise
        return gateway

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._session.close()

    # ------------------------------------------------------------------ objects

    async def get(self, kind: str, name: str) -> Manifest | None:
        """An object; None when there is none of that name."""
        try:
            return await self.call("GET", path_of(kind, self.namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, kind: str, selector: str = "", *, fields: str = ""
    ) -> tuple[list[Manifest], str]:
        """The objects of a kind that a label selector (and a field selector) names, and the
        version of that list."""
        query = {"limit": str(LIST_MAX), "labelSelector": selector, "fieldSelector": fields}
        answer = await self.call("GET", path_of(kind, self.namespace), query=query)
        if answer["metadata"].get("continue"):
            raise ClusterError(f"There are more than {LIST_MAX} objects of kind {kind}.")
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def apply(self, manifest: Manifest) -> Manifest:
        """Make it so (server-side apply); of fields that others own, ours win."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self.call(
            "PATCH", path_of(kind, self.namespace, name), query=query, body=manifest,
            content_type=APPLY_PATCH,
        )  # fmt: skip

    async def create(self, manifest: Manifest, *, subresource_of: str = "") -> Manifest:
        """Create it; ApiError 409 when it is there already."""
        path = path_of(manifest["kind"], self.namespace)
        if subresource_of:
            path = subresource_of
        return await self.call("POST", path, body=manifest, repeat=False, throttled=True)

    async def patch(
        self, kind: str, name: str, body: Any, *, subresource: str = "",
        content_type: str = STRATEGIC_PATCH,
    ) -> Manifest:  # fmt: skip
        """Change a part of it."""
        path = path_of(kind, self.namespace, name, subresource)
        return await self.call("PATCH", path, body=body, content_type=content_type)

    async def delete(
        self, kind: str, name: str, *, uid: str | None = None, grace_seconds: int | None = None
    ) -> bool:
        """Delete it, and only it if a uid is given; False when it is not there (any more)."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self.call("DELETE", path_of(kind, self.namespace, name), body=options)
        except ApiError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    async def gone(self, kind: str, name: str, *, uid: str, timeout_seconds: float) -> bool:
        """Wait until the object with that uid is no more; False at the deadline."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            found = await self.get(kind, name)
            if found is None or found["metadata"]["uid"] != uid:
                return True
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.2)

    async def evict(self, pod: str, *, uid: str) -> None:
        """Ask for an eviction; ApiError 429 when a disruption budget forbids it."""
        body = {
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }  # fmt: skip
        path = path_of("Pod", self.namespace, pod, "eviction")
        await self.call("POST", path, body=body, repeat=False)

    async def allowed(
        self, verb: str, resource: str, *, group: str = "", subresource: str = "",
        everywhere: bool = False,
    ) -> bool:  # fmt: skip
        """Whether we may (SelfSubjectAccessReview); `everywhere`: not in one namespace only."""
        attributes = {"verb": verb, "group": group, "resource": resource,
                      "subresource": subresource}  # fmt: skip
        if not everywhere:
            attributes["namespace"] = self.namespace
        answer = await self.call(
            "POST", path_of("SelfSubjectAccessReview", ""),
            body={"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                  "spec": {"resourceAttributes": attributes}},
        )  # fmt: skip
        return bool(answer["status"]["allowed"])

    async def clock_ahead_seconds(self) -> float | None:
        """How far the server's clock is ahead of ours, to a second; None if it does not tell."""
        path, headers = "/version", await self.access.headers()
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                async with self._session.get(self.access.host + path, headers=headers) as answer:
                    told = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError):
            return None
        return told + 0.5 - time.time()

    async def logs(
        self, pod: str, container: str, *, previous: bool = False, tail_lines: int = 200
    ) -> str:
        """The last lines that a container wrote; "" when there are none to be had."""
        query = {"container": container, "tailLines": str(tail_lines),
                 "previous": str(previous).lower()}  # fmt: skip
        try:
            path = path_of("Pod", self.namespace, pod, "log")
            return (await self._bytes("GET", path, query=query)).decode(errors="replace")
        except ApiError as error:
            if error.status in (400, 404):
                return ""
            raise

    async def watch(
        self, kind: str, selector: str, resource_version: str
    ) -> AsyncIterator[Manifest]:
        """Events from a version on; ends when the server ends it, ApiError 410 when too old.

        Ends with ClusterError when the connection breaks or is silent for too long.
        """
        query = {
            "watch": "true", "labelSelector": selector, "resourceVersion": resource_version,
            "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS),
        }  # fmt: skip
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=ATTEMPT_SECONDS, sock_read=WATCH_SILENCE_SECONDS
        )
        url = self.access.host + path_of(kind, self.namespace)
        try:
            async with self._session.get(
                url, params=query, headers=await self.access.headers(), timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise refused("GET", url, answer.status, await answer.text())
                buffer = b""
                async for chunk in answer.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            status = event["object"].get("code", 500)
                            raise ApiError(f"The watch ended: {event['object']}", status)
                        yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ClusterError(f"The watch of {kind} broke: {error!r}.") from None

    # ------------------------------------------------------------------ one call

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None,
        content_type: str = "application/json", repeat: bool = True, throttled: bool = False,
    ) -> Manifest:  # fmt: skip
        """One request and its answer; ApiError for a refusal, ClusterError for silence.

        `throttled`: 429 says that the server had no time, so that it may be asked again also for
        what must not be done twice; of an eviction it is the answer.
        """
        content = await self._bytes(
            method, path, query=query, body=body, content_type=content_type, repeat=repeat,
            throttled=throttled,
        )  # fmt: skip
        try:
            answer: Manifest = json.loads(content)
        except ValueError:
            raise ClusterError(
                f"{self.access.host} answered {method} {path} with something else than JSON: is "
                "it an API server?"
            ) from None
        return answer

    async def _bytes(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None,
        content_type: str = "application/json", repeat: bool = True, throttled: bool = False,
    ) -> bytes:  # fmt: skip
        """One request until its deadline, again and again where that does no harm."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CALL_SECONDS
        pause_seconds, problem = 0.1, ""
        while (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, ATTEMPT_SECONDS if repeat else left)):
                    status, content, wait = await self._once(
                        method, path, query, body, content_type
                    )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = repr(error)
                if not repeat and not isinstance(error, aiohttp.ClientConnectorError):
                    break  # it may have been done: nobody knows
            else:
                if status < 300:
                    return content
                again = status in AGAIN if repeat else throttled and status == 429
                if not again:
                    raise refused(method, path, status, content.decode(errors="replace"))
                problem = f"status {status}"
                pause_seconds = max(pause_seconds, wait)
            await asyncio.sleep(min(pause_seconds, max(0.0, deadline - loop.time())))
            pause_seconds = min(2.0, pause_seconds * 2)
        raise ClusterError(
            f"The API server of {self.access.context} did not answer {method} {path} within "
            f"{CALL_SECONDS:.0f} s ({problem})."
        )

    async def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str
    ) -> tuple[int, bytes, float]:
        headers = {**await self.access.headers(), "Content-Type": content_type,
                   "Accept": "application/json"}  # fmt: skip
        async with self._session.request(
            method, self.access.host + path, params=query, headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        ) as answer:  # fmt: skip
            wait = answer.headers.get("Retry-After", "")
            return answer.status, await answer.read(), float(wait) if wait.isdigit() else 0.0


def refused(method: str, path: str, status: int, content: str) -> ApiError:
    """What the API server said, in one sentence."""
    try:
        words = json.loads(content).get("message", content)
    except ValueError:
        words = content
    return ApiError(f"Kubernetes refused {method} {path}: {status} {words[:500]}", status)
