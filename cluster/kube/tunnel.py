"""A port of a pod as a port of this machine: what `kubectl port-forward` does, without kubectl.

The runner speaks to the wire, to the witness and to Postgres as it does on one machine; only the
addresses differ. Each accepted connection is one websocket to the API server. The server waits
when we do not read, and we when it does not: nothing is buffered beyond a message.

Limits: the protocol has no half-close. When the near side has said all it had to say the far
side is not told; Postgres, the wire and HTTP do not need that. A connection that is lost is lost:
who uses it connects again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Self

import aiohttp

from cluster.kube.channels import forwarded
from cluster.kube.gateway import Gateway
from results.errors import ClusterError

READ_BYTES = 1 << 16
CONNECTIONS_MAX = 200
log = logging.getLogger(__name__)
PodOf = Callable[[], Awaitable[str]]


class Tunnel:
    """One listening port on loopback, and the pod that it leads to."""

    def __init__(self, gateway: Gateway, pod_of: PodOf, port: int) -> None:
        self._gateway = gateway
        self._pod_of = pod_of
        self._remote_port = port
        self._server: asyncio.Server | None = None
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    async def open(cls, gateway: Gateway, pod_of: PodOf, port: int) -> Self:
        """Listen on a free port; the pod is asked for anew with each connection."""
        tunnel = cls(gateway, pod_of, port)
        tunnel._server = await asyncio.start_server(tunnel._accept, "127.0.0.1", 0)
        tunnel.port = int(tunnel._server.sockets[0].getsockname()[1])
        return tunnel

    async def close(self) -> None:
        """End all of its connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with self._slots, forwarded(
                self._gateway, await self._pod_of(), self._remote_port
            ) as socket:  # fmt: skip
                await both_ways(socket, reader, writer)
        except (ClusterError, OSError, aiohttp.ClientError) as error:
            log.info("a connection to port %s ended: %s", self._remote_port, error)
        except asyncio.CancelledError:
            pass  # the tunnel is closed
        finally:
            self._tasks.discard(task)
            writer.close()


async def both_ways(
    socket: aiohttp.ClientWebSocketResponse,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes until one of the sides ends."""

    async def upwards() -> None:
        while data := await reader.read(READ_BYTES):
            await socket.send_bytes(b"\0" + data)

    async def downwards() -> None:
        greeted: set[int] = set()  # the first message of a channel names its port
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel not in greeted:
                greeted.add(channel)
                data = data[2:]
            if channel == 1 and data:
                raise ClusterError(f"The pod's port: {data.decode(errors='replace').strip()}.")
            if data:
                writer.write(data)
                await writer.drain()

    tasks = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
