"""A small API server: objects by their paths, watches, execs and forwarded ports, and its moods."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from cluster.kube.access import Access
from cluster.kube.gateway import Gateway
from cluster.kube.kinds import KINDS, Manifest, path_of

NAMESPACE = "shaken"
Containers = Callable[[web.WebSocketResponse, str, list[str]], Awaitable[None]]
Port = Callable[[web.WebSocketResponse], Awaitable[None]]
Answer = int | str | tuple[int, dict[str, str]]  # a status, "cut", or a status with headers
KIND_OF = {row.plural: kind for kind, row in KINDS.items()}


class Nobody:
    """Credentials of none."""

    async def auth_settings(self) -> dict[str, Any]:
        return {}


class FakeApi:
    """What the tests need of an API server, in the loop of the test."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.calls: list[tuple[str, str]] = []
        self.patched: list[tuple[str, Any]] = []
        self.deleted: list[tuple[str, dict[str, Any]]] = []
        self.on_delete: Callable[[str], None] = lambda path: None
        self.finalized: set[str] = set()  # paths that stay in Terminating
        self.containers: Containers | None = None
        self.port_of_pod: Port | None = None
        self.log_of_pod = ""
        self._moods: dict[tuple[str, str], deque[Answer]] = {}
        self._version = 1
        self._oldest = 0
        self._events: list[tuple[int, str, str, Manifest]] = []
        self._changed = asyncio.Condition()
        self._watches: list[web.Request] = []
        self._ending = 0
        self._port = 0
        self._runner: web.AppRunner | None = None

    # ------------------------------------------------------------------ its life

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Away, and every connection with it."""
        assert self._runner is not None
        self.cut_watches()
        await self._runner.cleanup()

    @property
    def access(self) -> Access:
        return Access("fake", f"http://127.0.0.1:{self._port}", False, Nobody())

    def gateway(self, namespace: str = NAMESPACE) -> Gateway:
        return Gateway(self.access, namespace)

    # ------------------------------------------------------------------ its moods

    def moody(self, method: str, path_end: str, *answers: Answer) -> None:
        """Answer so, one after the other, before it answers as it should."""
        self._moods[(method, path_end)] = deque(answers)

    def cut_watches(self) -> None:
        for request in list(self._watches):
            if request.transport is not None:
                request.transport.abort()

    async def end_watches(self) -> None:
        async with self._changed:
            self._ending += 1
            self._changed.notify_all()

    def forget_versions(self) -> None:
        """Compaction: no watch begins at an older version any more."""
        self._version += 1
        self._oldest = self._version

    async def watched(self) -> None:
        """Wait until somebody watches."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self._watches)

    def asked(self, method: str, path_end: str) -> int:
        return sum(one == method and path.endswith(path_end) for one, path in self.calls)

    # ------------------------------------------------------------------ its objects

    def put(self, kind: str, manifest: Manifest, namespace: str = NAMESPACE) -> Manifest:
        """Have an object, without telling the watches."""
        metadata = manifest.setdefault("metadata", {})
        self._version += 1
        path = path_of(kind, namespace, metadata["name"])
        before = self.objects.get(path, {"metadata": {}})
        metadata.setdefault("uid", before["metadata"].get("uid", f"uid-{self._version}"))
        metadata["resourceVersion"] = str(self._version)
        if kind != "Namespace":
            metadata.setdefault("namespace", namespace)
        self.objects[path] = manifest
        self._events.append((self._version, "MODIFIED", path, json.loads(json.dumps(manifest))))
        return manifest

    async def tell(self, kind: str, manifest: Manifest) -> None:
        """Have an object, and tell."""
        self.put(kind, manifest)
        async with self._changed:
            self._changed.notify_all()

    async def drop(self, kind: str, name: str) -> None:
        """Lose an object, and tell."""
        self._lose(path_of(kind, NAMESPACE, name))
        async with self._changed:
            self._changed.notify_all()

    def _lose(self, path: str) -> None:
        self._version += 1
        gone = self.objects.pop(path)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._events.append((self._version, "DELETED", path, gone))

    # ------------------------------------------------------------------ its answers

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.calls.append((request.method, path))
        for (method, end), answers in self._moods.items():
            if answers and method == request.method and path.endswith(end):
                return await self._in_a_mood(request, answers.popleft())
        if path == "/version":
            return web.json_response({"gitVersion": "v0-fake"})
        parts = path.strip("/").split("/")
        if parts[-1] in ("exec", "portforward", "log"):
            return await self._session(request, parts[-2], parts[-1])
        if parts[-1] in KIND_OF and not (len(parts) == 4 and parts[-2] == "namespaces"):
            return await self._collection(request, KIND_OF[parts[-1]])
        return await self._one(request, path.removesuffix("/ephemeralcontainers"))

    async def _in_a_mood(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if answer == "cut":
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        if isinstance(answer, str):
            return web.Response(text=answer)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        assert isinstance(status, int)
        return refusal(status, "in a mood", headers)

    async def _collection(self, request: web.Request, kind: str) -> web.StreamResponse:
        if request.method == "POST":
            manifest = await request.json()
            path = f"{request.path}/{manifest['metadata']['name']}"
            if path in self.objects:
                return refusal(409, f"{path} already exists")
            await self.tell(kind, manifest)
            return web.json_response(manifest, status=201)
        if request.query.get("watch"):
            return await self._watch(request)
        items = [one for path, one in self.objects.items() if chosen(request, path, one)]
        version = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": version, "items": items})

    async def _one(self, request: web.Request, path: str) -> web.StreamResponse:
        kind = KIND_OF[path.split("/")[-2]]
        if request.method == "PATCH":
            body = await request.json()
            self.patched.append((request.path, body))
            if isinstance(body, list):
                body = patched(self.objects[path], body)
                if body is None:
                    return refusal(422, "the server rejected our request: a test failed")
            if "ephemeralcontainers" not in request.path:
                await self.tell(kind, body)
            return web.json_response(body)
        found = self.objects.get(path)
        if found is None:
            return refusal(404, f"{path} not found")
        if request.method == "DELETE":
            options = await request.json()
            self.deleted.append((path, options))
            wanted = options.get("preconditions", {}).get("uid")
            if wanted not in (None, found["metadata"]["uid"]):
                return refusal(409, "the UID in the precondition does not match")
            if path in self.finalized:
                found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            else:
                self._lose(path)
                self.on_delete(path)
                async with self._changed:
                    self._changed.notify_all()
        return web.json_response(found)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if since < self._oldest:
            status = {"code": 410, "reason": "Expired"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        self._watches.append(request)
        async with self._changed:
            self._changed.notify_all()
        ending = self._ending
        try:
            while self._ending == ending:
                for version, what, path, manifest in self._events:
                    if version > since and chosen(request, path, manifest):
                        line = json.dumps({"type": what, "object": manifest}).encode() + b"\n"
                        await response.write(line[: len(line) // 2])
                        await response.write(line[len(line) // 2 :])
                since = self._version
                async with self._changed:
                    await self._changed.wait()
        except (ConnectionError, aiohttp.ClientError):
            pass
        finally:
            self._watches.remove(request)
        return response

    async def _session(self, request: web.Request, pod: str, what: str) -> web.StreamResponse:
        if what == "log":
            return web.Response(text=self.log_of_pod)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        if what == "exec":
            assert self.containers is not None
            await self.containers(socket, pod, request.query.getall("command"))
        else:
            assert self.port_of_pod is not None
            await self.port_of_pod(socket)
        await socket.close()
        return socket


def patched(manifest: Manifest, operations: list[dict[str, Any]]) -> Manifest | None:
    """A copy with the operations of a JSON patch applied; None where a test fails."""
    whole: Any = json.loads(json.dumps(manifest))
    for one in operations:
        *way, last = [
            part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]
        ]
        at = whole
        for part in way:
            at = at[int(part)] if isinstance(at, list) else at[part]
        key: Any = int(last) if isinstance(at, list) else last
        if one["op"] == "test":
            if at[key] != one["value"]:
                return None
        elif one["op"] == "remove":
            del at[key]
        elif one["op"] == "add" and isinstance(at, list):
            at.insert(key, one["value"])
        else:
            at[key] = one["value"]
    result: Manifest = whole
    return result


def chosen(request: web.Request, path: str, manifest: Manifest) -> bool:
    """Whether a label selector (and a field selector) means this object of a collection."""
    if path.rpartition("/")[0] != request.path:
        return False
    labels = manifest["metadata"].get("labels", {})
    for term in filter(None, request.query.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if labels.get(name) != value:
            return False
    for term in filter(None, request.query.get("fieldSelector", "").split(",")):
        found: Any = manifest
        where, _, value = term.partition("=")
        for part in where.split("."):
            found = found.get(part, {})
        if found != value:
            return False
    return True


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=status, headers=headers)


def status_message(exit_code: int) -> bytes:
    """How a command's end is told, on channel 3."""
    if not exit_code:
        return b"\3" + json.dumps({"status": "Success"}).encode()
    cause = {"reason": "ExitCode", "message": str(exit_code)}
    return b"\3" + json.dumps({"status": "Failure", "details": {"causes": [cause]}}).encode()


def not_run(message: str) -> bytes:
    """How it is told that a command could not be run."""
    return b"\3" + json.dumps({"status": "Failure", "message": message}).encode()


async def echo(socket: web.WebSocketResponse) -> None:
    """A forwarded port that says what it is told."""
    for channel in (b"\0", b"\1"):
        await socket.send_bytes(channel + (7000).to_bytes(2, "little"))
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
