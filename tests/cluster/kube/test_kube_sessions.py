"""Commands in containers and forwarded ports, over websockets that may break."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from cluster.kube import channels
from cluster.kube.channels import execute
from cluster.kube.gateway import Gateway
from cluster.kube.rungs import told
from cluster.kube.tunnel import Tunnel
from results.errors import ClusterError
from tests.cluster.kube.fake_api import FakeApi, echo, not_run, status_message

NO_PYTHON = (
    'Internal error occurred: failed to exec in container: failed to start exec "e": OCI runtime '
    'exec failed: exec failed: unable to start container process: exec: "python": executable file '
    "not found in $PATH"
)


def cut(socket: web.WebSocketResponse) -> None:
    assert socket._req is not None
    assert socket._req.transport is not None
    socket._req.transport.abort()


async def run(gateway: Gateway, seconds: float = 5.0) -> channels.Executed:
    return await execute(gateway, "a", "app", ("python", "-c", "x"), timeout_seconds=seconds)


@pytest.mark.parametrize("status", [0, 3, 137])
async def test_a_command_and_its_end(api: FakeApi, gateway: Gateway, status: int) -> None:
    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        assert (pod, command) == ("a", ["python", "-c", "x"])
        for data in (b"\1", b"\2", b"\1one\n", b"\2wrong", b"\1two", status_message(status)):
            await socket.send_bytes(data)

    api.containers = container
    answer = await run(gateway)
    assert (answer.stdout, answer.stderr, answer.status) == (b"one\ntwo", b"wrong", status)


@pytest.mark.parametrize("how", ["closed", "cut"])
async def test_a_container_that_dies_under_a_command_leaves_no_status(
    api: FakeApi, gateway: Gateway, how: str
) -> None:
    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        await socket.send_bytes(b"\1begun")
        if how == "cut":
            cut(socket)

    api.containers = container
    answer = await run(gateway)
    assert (answer.status, answer.begun) == (None, True)
    told(answer, "a")  # lost: whether it was done is to be seen elsewhere


async def test_a_status_counts_although_the_connection_is_cut_then(
    api: FakeApi, gateway: Gateway
) -> None:
    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        await socket.send_bytes(status_message(3))
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.close()  # without a goodbye

    api.containers = container
    assert (await run(gateway)).status == 3


async def test_a_command_that_was_never_begun_is_refused_with_the_reason(
    api: FakeApi, gateway: Gateway
) -> None:
    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        await socket.send_bytes(not_run(NO_PYTHON))

    api.containers = container
    answer = await run(gateway)
    assert (answer.status, answer.begun) == (None, False)
    with pytest.raises(ClusterError, match="executable file not found"):
        told(answer, "a")


async def test_a_command_without_an_end_is_given_up(api: FakeApi, gateway: Gateway) -> None:
    async def container(socket: web.WebSocketResponse, pod: str, command: list[str]) -> None:
        async for _ in socket:
            pass

    api.containers = container
    with pytest.raises(ClusterError, match=r"python in a did not end within 0 s"):
        await run(gateway, 0.3)


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_refused_command_says_so(api: FakeApi, gateway: Gateway, status: int) -> None:
    api.moody("GET", "/pods/a/exec", status)
    with pytest.raises(ClusterError, match=rf"refused .*/pods/a/exec: {status}"):
        await run(gateway)


async def test_a_server_that_is_away_is_said(api: FakeApi, gateway: Gateway) -> None:
    await api.stop()
    with pytest.raises(ClusterError, match="does not answer"):
        await run(gateway)
    await api.start()


# ---------------------------------------------------------------------- tunnels


@asynccontextmanager
async def tunnelled(gateway: Gateway) -> AsyncIterator[Tunnel]:
    async def pod() -> str:
        return "a"

    tunnel = await Tunnel.open(gateway, pod, 7000)
    try:
        yield tunnel
    finally:
        await tunnel.close()


async def said(tunnel: Tunnel, data: bytes) -> bytes:
    """What comes back for this, and then nothing more is said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(30):
            return await reader.readexactly(len(data))
    finally:
        writer.close()


async def test_a_tunnel_carries_data_both_ways(api: FakeApi, gateway: Gateway) -> None:
    api.port_of_pod = echo
    async with tunnelled(gateway) as tunnel:
        data = bytes(range(256)) * 2_000  # more than one message
        assert await said(tunnel, data) == data
    assert api.asked("GET", "/pods/a/portforward") == 1


async def test_fifty_connections_at_once(api: FakeApi, gateway: Gateway) -> None:
    api.port_of_pod = echo
    async with tunnelled(gateway) as tunnel:
        texts = [f"connection {number};".encode() * 50 for number in range(50)]
        assert await asyncio.gather(*(said(tunnel, text) for text in texts)) == texts


async def test_an_error_of_the_port_ends_the_connection(api: FakeApi, gateway: Gateway) -> None:
    ended = asyncio.Event()

    async def refusing(socket: web.WebSocketResponse) -> None:
        for channel in (b"\0", b"\1"):
            await socket.send_bytes(channel + b"\x58\x1b")
        await socket.send_bytes(b"\1connection refused")
        async for message in socket:
            assert message.type is not WSMsgType.ERROR
        ended.set()

    api.port_of_pod = refusing
    async with tunnelled(gateway) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
            await ended.wait()
        writer.close()


@pytest.mark.parametrize("how", ["refused", "cut"])
async def test_a_connection_that_cannot_be_made_ends_and_the_next_one_works(
    api: FakeApi, gateway: Gateway, how: str
) -> None:
    api.port_of_pod = echo
    api.moody("GET", "/portforward", 404 if how == "refused" else "cut")
    async with tunnelled(gateway) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert await said(tunnel, b"again") == b"again"


async def test_what_the_pod_said_last_arrives(api: FakeApi, gateway: Gateway) -> None:
    async def farewell(socket: web.WebSocketResponse) -> None:
        for data in (b"\0\x58\x1b", b"\1\x58\x1b", b"\0good", b"\0bye"):
            await socket.send_bytes(data)

    api.port_of_pod = farewell
    async with tunnelled(gateway) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        async with asyncio.timeout(5):
            assert await reader.read() == b"goodbye"
        writer.close()


async def test_close_ends_connections_and_the_port(api: FakeApi, gateway: Gateway) -> None:
    api.port_of_pod = echo
    async with tunnelled(gateway) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(b"hello")
        async with asyncio.timeout(5):
            assert await reader.readexactly(5) == b"hello"
            await tunnel.close()
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", tunnel.port)


async def test_http_through_a_tunnel(api: FakeApi, gateway: Gateway) -> None:
    async def http(socket: web.WebSocketResponse) -> None:
        for channel in (b"\0", b"\1"):
            await socket.send_bytes(channel + b"\x58\x1b")
        asked = await socket.receive_bytes()
        assert asked.startswith(b"\0GET /state HTTP/1.1")
        body = json.dumps({"keys": "honours"}).encode()
        await socket.send_bytes(
            b"\0HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        async for _ in socket:
            pass

    api.port_of_pod = http
    async with (
        tunnelled(gateway) as tunnel,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{tunnel.port}/state") as answer,
    ):
        assert await answer.json() == {"keys": "honours"}
