"""Commands, tunnels, mirrored files and clocks on a real cluster: all that is a long connection.

A played API server (tests/cluster/kube) cannot tell how the real one, the kubelet and the
container runtime buffer, cut and end a stream; here all of them are in between. One pod serves:
ports that echo, count, pour and swallow, and files that grow.
"""

import asyncio
import hashlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from cluster.kube import clock
from cluster.kube.channels import Executed, execute
from cluster.kube.gateway import Gateway
from cluster.kube.mirror import Mirror
from cluster.kube.tunnel import Tunnel
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pods import container, template

POD, APP = "streams", "app"
ECHO, POUR, SWALLOW, NOBODY = 7001, 7002, 7003, 7009
MEGABYTE = 1 << 20
SECONDS = 60.0
Found = TypeVar("Found")
SERVER = """
import asyncio, hashlib

async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()

async def pour(reader, writer):
    left, sent = int(await reader.readline()), 0
    block = bytes(range(256)) * 256
    while left > 0:
        part = block[:left]
        writer.write(part)
        await writer.drain()
        left -= len(part)
        sent += len(part)
        with open("/records/poured", "w") as file:
            file.write(str(sent))
    writer.close()

async def swallow(reader, writer):
    name = (await reader.readline()).decode().strip()
    digest, size = hashlib.sha256(), 0
    while data := await reader.read(1 << 16):
        digest.update(data)
        size += len(data)
    with open("/records/" + name, "w") as file:
        file.write("%d %s" % (size, digest.hexdigest()))
    writer.close()

async def main():
    for port, serve in ((7001, echo), (7002, pour), (7003, swallow)):
        await asyncio.start_server(serve, "0.0.0.0", port, backlog=200)
    await asyncio.Event().wait()

asyncio.run(main())
"""
WRITE = """
import json, sys, time
path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "ab", buffering=0) as file:
    for number in range(first, first + count):
        line = json.dumps({"number": number, "at_ns": number * 1000, "pad": "x" * 200}).encode()
        file.write(line[:50])  # a reader may come in the middle of a line
        file.write(line[50:] + b"\\n")
"""
CUT = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open("/proc/%s/cmdline" % pid).read().split("\\0")
    except OSError:
        continue
    if "cluster.kube.follow" in words:
        os.kill(int(pid), signal.SIGKILL)
        print(pid)
"""


@pytest.fixture(scope="module")
def pod(cluster: Cluster, image: str) -> Iterator[str]:
    """The pod that serves, ready."""
    serving = {
        **container(image, "python", "-c", SERVER),
        "readinessProbe": {"tcpSocket": {"port": SWALLOW}, "periodSeconds": 1},
    }
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD},
                "spec": template(serving)["spec"]}  # fmt: skip
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    cluster.kubectl("wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=60s", seconds=70)
    yield POD
    cluster.kubectl("delete", "pod", POD, "--grace-period=1")


@pytest.fixture
async def gateway(namespace: str, pod: str) -> AsyncIterator[Gateway]:
    async with await Gateway.connect(None, namespace) as one:
        yield one


async def run(gateway: Gateway, *command: str) -> Executed:
    return await execute(gateway, POD, APP, command, timeout_seconds=SECONDS)


async def read(gateway: Gateway, path: str) -> str:
    """What stands in a file of the pod; "" when there is none."""
    answer = await run(gateway, "python", "-c", "import sys;print(open(sys.argv[1]).read())", path)
    return answer.stdout.decode().strip()


async def until(look: Callable[[], Awaitable[Found]]) -> Found:
    """Ask again until the answer is something; TimeoutError at the deadline."""
    async with asyncio.timeout(SECONDS):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.2)


@asynccontextmanager
async def tunnel_to(gateway: Gateway, port: int) -> AsyncIterator[Tunnel]:
    async def pod_of() -> str:
        return POD

    tunnel = await Tunnel.open(gateway, pod_of, port)
    try:
        yield tunnel
    finally:
        await tunnel.close()


# ------------------------------------------------------------------ commands


async def test_a_command_has_its_streams_and_its_status(gateway: Gateway) -> None:
    both = "import sys;print('out');print('err',file=sys.stderr);sys.exit(int(sys.argv[1]))"
    for status in (0, 7, 137):
        answer = await run(gateway, "python", "-c", both, str(status))
        assert (answer.stdout, answer.stderr, answer.status) == (b"out\n", b"err\n", status)


async def test_megabytes_of_a_commands_output_are_whole(gateway: Gateway) -> None:
    say = "import random,sys;sys.stdout.buffer.write(random.Random(5).randbytes(3<<20))"
    answer = await run(gateway, "python", "-c", say)
    assert answer.status == 0
    assert answer.stdout == random.Random(5).randbytes(3 * MEGABYTE)


async def test_words_of_a_command_arrive_as_they_are(gateway: Gateway) -> None:
    words = ["a b", "&container=other", "100%", "é", "", "line\nline"]
    say = "import json,sys;print(json.dumps(sys.argv[1:]))"
    answer = await run(gateway, "python", "-c", say, *words)
    assert json.loads(answer.stdout) == words


async def test_a_program_that_is_not_there_has_no_status_of_success(gateway: Gateway) -> None:
    answer = await run(gateway, "is-not-there")
    assert answer.status != 0


# ------------------------------------------------------------------ tunnels


async def echoed(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()

    try:
        async with asyncio.timeout(SECONDS):
            _, back = await asyncio.gather(send(), reader.readexactly(len(data)))
            return back
    finally:
        writer.close()


async def test_megabytes_go_both_ways_at_once(gateway: Gateway) -> None:
    data = secrets.token_bytes(16 * MEGABYTE)
    async with tunnel_to(gateway, ECHO) as tunnel:
        assert await echoed(tunnel.port, data) == data


async def test_fifty_connections_do_not_mix(gateway: Gateway) -> None:
    parts = [secrets.token_bytes(256 << 10) for _ in range(50)]
    async with tunnel_to(gateway, ECHO) as tunnel:
        backs = await asyncio.gather(*(echoed(tunnel.port, part) for part in parts))
    assert backs == parts


async def test_what_the_pod_said_before_it_hung_up_arrives(gateway: Gateway) -> None:
    async with tunnel_to(gateway, POUR) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(b"%d\n" % (4 * MEGABYTE))
        async with asyncio.timeout(SECONDS):
            got = await reader.read()
        writer.close()
    assert got == bytes(range(256)) * (4 * MEGABYTE // 256)


async def test_what_we_said_before_we_hung_up_arrives(gateway: Gateway) -> None:
    data, name = secrets.token_bytes(4 * MEGABYTE), f"swallowed-{secrets.token_hex(3)}"
    async with tunnel_to(gateway, SWALLOW) as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(name.encode() + b"\n" + data)
        await writer.drain()
        writer.close()
        told = await until(lambda: read(gateway, f"/records/{name}"))
    assert told == f"{len(data)} {hashlib.sha256(data).hexdigest()}"


async def test_who_does_not_read_stops_the_pod_from_sending(gateway: Gateway) -> None:
    """Back-pressure: nothing between the two buffers all of it."""
    wanted = 512 * MEGABYTE
    async with tunnel_to(gateway, POUR) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        writer.write(b"%d\n" % wanted)
        await reader.readexactly(1)
        poured = [-2, -1]
        async with asyncio.timeout(SECONDS):
            while poured[-1] != poured[-2] or poured[-1] <= 0:
                poured.append(int(await read(gateway, "/records/poured") or 0))
                await asyncio.sleep(0.5)
        writer.transport.abort()
    assert poured[-1] < 128 * MEGABYTE
    print("poured", poured)


async def test_a_port_without_a_listener_ends_the_connection_only(gateway: Gateway) -> None:
    async with tunnel_to(gateway, NOBODY) as tunnel:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
            async with asyncio.timeout(SECONDS):
                assert await reader.read() == b""
            writer.close()


# ------------------------------------------------------------------ mirrors


async def write(gateway: Gateway, path: str, first: int, count: int) -> None:
    answer = await run(gateway, "python", "-c", WRITE, path, str(first), str(count))
    assert answer.status == 0, answer.said


async def test_a_mirror_has_what_its_original_has(gateway: Gateway, tmp_path: Path) -> None:
    """The file comes late, grows by pieces of lines, and whoever follows it is killed twice."""
    remote, local = f"/records/{secrets.token_hex(3)}.jsonl", tmp_path / "copy.jsonl"
    async with Mirror(gateway, POD, APP, remote, local) as mirror:
        for piece in range(3):
            await write(gateway, remote, piece * 4_000, 4_000)
            await mirror.drained(timeout_seconds=SECONDS)
            cut = await run(gateway, "python", "-c", CUT)
            assert cut.stdout, "nobody followed"
        await write(gateway, remote, 12_000, 500)
        await mirror.drained(timeout_seconds=SECONDS)
        assert mirror.copied_bytes == await mirror.original_bytes() == local.stat().st_size
    numbers = [json.loads(line)["number"] for line in local.read_text().splitlines()]
    assert numbers == list(range(12_500))


async def test_a_mirror_moves_times_to_our_clock(gateway: Gateway, tmp_path: Path) -> None:
    remote, local = f"/records/{secrets.token_hex(3)}.jsonl", tmp_path / "copy.jsonl"
    await write(gateway, remote, 0, 100)
    async with Mirror(gateway, POD, APP, remote, local, shift_ns=-77) as mirror:
        await mirror.drained(timeout_seconds=SECONDS)
    records = [json.loads(line) for line in local.read_text().splitlines()]
    assert [one["at_ns"] for one in records] == [number * 1000 - 77 for number in range(100)]
    assert [one["number"] for one in records] == list(range(100))


async def test_who_followed_is_gone_when_the_mirror_is(gateway: Gateway, tmp_path: Path) -> None:
    remote, local = f"/records/{secrets.token_hex(3)}.jsonl", tmp_path / "copy.jsonl"
    await write(gateway, remote, 0, 1)
    async with Mirror(gateway, POD, APP, remote, local) as mirror:
        await mirror.drained(timeout_seconds=SECONDS)
    look = CUT.replace("os.kill(int(pid), signal.SIGKILL)", "pass")

    async def nobody() -> bool:
        return not (await run(gateway, "python", "-c", look)).stdout

    assert await until(nobody)


# ------------------------------------------------------------------ clocks


async def test_the_offset_is_within_its_own_error(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pod shares our kernel the true offset is 0, and the measured one allows it."""
    known = await clock.measure(gateway, POD, APP)
    if known.boot_id == clock.own_boot_id():
        assert (known.shift_ns, known.error_ns) == (0, 0)
    monkeypatch.setattr(clock, "own_boot_id", lambda: "")
    asked = await clock.measure(gateway, POD, APP)
    assert asked.boot_id == known.boot_id
    assert 0 < asked.error_ns < 10_000_000_000
    assert abs(asked.shift_ns - known.shift_ns) <= asked.error_ns + known.error_ns
