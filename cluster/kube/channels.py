"""Commands in a container and connections to a pod, each over a websocket of its own.

The first byte of a message is its channel: standard streams and the final status of a command;
data and errors of a forwarded port. One session a websocket: nothing is shared that one of them
could break for another.

An exec whose container dies under it, or whose connection is cut, ends without a status. That is
*lost*, not a failure: whether the command was carried out must be told by what it was to change.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from cluster.kube.gateway import Gateway
from cluster.kube.kinds import path_of
from results.errors import ClusterError

PROTOCOL = "v4.channel.k8s.io"
STDOUT, STDERR, STATUS = 1, 2, 3
CONNECT_SECONDS = 10.0
MESSAGE_MAX_BYTES = 4 << 20
OUTPUT_MAX_BYTES = 4 << 20
SILENCE_SECONDS = 60.0  # then we ping; no answer for half of that: the connection is dead
NOT_BEGUN = ("failed to start exec", "unable to start container process", "executable file not")


@dataclass(frozen=True, slots=True)
class Executed:
    """What a command in a container wrote, and its exit status; None: lost, nobody knows."""

    stdout: bytes
    stderr: bytes
    status: int | None
    refusal: str = ""  # of whoever was to run it

    @property
    def begun(self) -> bool:
        """False only if the command surely never ran."""
        return not any(words in self.refusal for words in NOT_BEGUN)

    @property
    def said(self) -> str:
        """Its last words, for a message."""
        words = (self.stderr or self.stdout).decode(errors="replace").strip() or self.refusal
        return words[-300:] or f"status {self.status}"


@asynccontextmanager
async def websocket(gateway: Gateway, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket to the API server; ClusterError when it refuses."""
    async with gateway.access.session() as session:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await session.ws_connect(
                    gateway.access.host.replace("http", "ws", 1) + path,
                    headers=await gateway.access.headers(), protocols=(PROTOCOL,),
                    max_msg_size=MESSAGE_MAX_BYTES, heartbeat=SILENCE_SECONDS, autoping=True,
                )  # fmt: skip
        except aiohttp.WSServerHandshakeError as error:
            raise ClusterError(
                f"Kubernetes refused {path.partition('?')[0]}: {error.status}."
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterError(f"The API server does not answer: {error!r}.") from None
        try:
            yield socket
        finally:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(1.0):
                    await socket.close()


def exec_path(
    gateway: Gateway, pod: str, container: str, command: Sequence[str], *, stdin: bool = False
) -> str:
    """Where to ask for a command in a container."""
    query = [("container", container), ("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if stdin else []
    query += [("command", word) for word in command]
    return f"{path_of('Pod', gateway.namespace, pod, 'exec')}?{urlencode(query)}"


async def execute(
    gateway: Gateway, pod: str, container: str, command: Sequence[str], *, timeout_seconds: float
) -> Executed:
    """Run a command to its end; ClusterError when it could not be asked for or does not end."""
    streams = {STDOUT: bytearray(), STDERR: bytearray()}
    status, refusal = None, ""
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            websocket(gateway, exec_path(gateway, pod, container, command)) as socket,
        ):
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, data = message.data[0], message.data[1:]
                if channel == STATUS:
                    status, refusal = exit_status(data)
                elif channel in streams and len(streams[channel]) < OUTPUT_MAX_BYTES:
                    streams[channel] += data
    except TimeoutError:
        raise ClusterError(
            f"{command[0]} in {pod} did not end within {timeout_seconds:.0f} s."
        ) from None
    except (aiohttp.ClientError, OSError):
        pass  # cut: lost, unless the status came before
    return Executed(bytes(streams[STDOUT]), bytes(streams[STDERR]), status, refusal)


async def follow(
    gateway: Gateway, pod: str, container: str, command: Sequence[str]
) -> AsyncIterator[bytes]:
    """What a long command writes, as it writes it; ends with it, or with the connection."""
    path = exec_path(gateway, pod, container, command, stdin=True)  # its end ends the command
    async with websocket(gateway, path) as socket:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or len(message.data) < 2:
                continue
            if message.data[0] == STDOUT:
                yield message.data[1:]


def exit_status(content: bytes) -> tuple[int | None, str]:
    """The exit status in a message of the status channel; None, and why, where there is none."""
    try:
        answer = json.loads(content)
    except ValueError:
        return None, content.decode(errors="replace")
    if answer.get("status") == "Success":
        return 0, ""
    for cause in (answer.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), ""
    return None, str(answer.get("message", ""))


@asynccontextmanager
async def forwarded(
    gateway: Gateway, pod: str, port: int
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket whose channel 0 is a connection to a port of a pod, and 1 its error."""
    path = path_of("Pod", gateway.namespace, pod, "portforward")
    async with websocket(gateway, f"{path}?ports={port}") as socket:
        yield socket
