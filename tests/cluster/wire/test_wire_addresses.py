import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.wire.client import Rule, Wire
from results.records import ConnectionTrace, HoldTrace, StatementTrace
from tests.cluster.wire.conftest import TOKEN, eventually, started_wire

Trace = StatementTrace | ConnectionTrace | HoldTrace


class Client:
    """A Postgres client with an address of its own choice, without a password."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, address: str, port: int) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        words = b"user\0onceproof\0database\0postgres\0\0"
        writer.write(struct.pack("!II", len(words) + 8, 196608) + words)
        return cls(reader, writer)

    async def until(self, wanted: bytes) -> bytes:
        """The body of the next message of a type; the others are skipped."""
        async with asyncio.timeout(10):
            while True:
                kind, length = struct.unpack("!cI", await self.reader.readexactly(5))
                body = await self.reader.readexactly(length - 4)
                if kind == wanted:
                    return body

    def query(self, sql: str) -> None:
        content = sql.encode() + b"\0"
        self.writer.write(b"Q" + struct.pack("!I", len(content) + 4) + content)


@asynccontextmanager
async def shared(postgres: Postgres, file: Path) -> AsyncIterator[tuple[int, int]]:
    port = free_port()
    upstream = f"{postgres.host}:{postgres.port}"
    async with started_wire(upstream, file, "--listen", f"127.0.0.1:{port}") as control:
        yield control, port


async def test_replicas_that_share_a_port_are_told_apart_by_their_addresses(
    postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    async with shared(postgres, file) as (control, port):
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        for number in range(2, 5):
            await wire.name(f"127.0.0.{number}", f"web-{number}")
        clients = {n: await Client.open(f"127.0.0.{n}", port) for n in range(2, 5)}
        for client in clients.values():
            await client.until(b"Z")
        await wire.arm(Rule(rule_id="only-3", point="before", replicas=("web-3",)))
        for number, client in clients.items():
            client.query(f"SELECT {number}00 + 0 AS mine")
        park = await wire.next_park("only-3", timeout_seconds=5)
        assert park is not None
        assert park.replica == "web-3"
        for number in (2, 4):  # the others are not held
            await clients[number].until(b"D")
        assert await wire.release(park.hold_id, "pass")
        await clients[3].until(b"D")
        for client in clients.values():
            client.writer.close()
        await wire.close()
    traces = [msgspec.json.decode(line, type=Trace) for line in file.read_bytes().splitlines()]
    opened = [t.replica for t in traces if isinstance(t, ConnectionTrace) and t.event == "open"]
    assert sorted(opened) == ["web-2", "web-3", "web-4"]
    steps = {t.replica: t.connection for t in traces if isinstance(t, StatementTrace)}
    assert len(set(steps.values())) == 3


async def test_a_client_waits_for_its_name(postgres: Postgres, tmp_path: Path) -> None:
    async with shared(postgres, tmp_path / "wire.jsonl") as (control, port):
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        client = await Client.open("127.0.0.9", port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.reader.read(1)
        await wire.name("127.0.0.9", "web-9")
        await client.until(b"Z")
        assert [one.replica for one in (await wire.state()).connections] == ["web-9"]
        client.writer.close()
        await wire.close()


async def test_an_address_that_is_given_away_is_not_its_last_owner(
    postgres: Postgres, tmp_path: Path
) -> None:
    async with shared(postgres, tmp_path / "wire.jsonl") as (control, port):
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        await wire.name("127.0.0.5", "web-old")
        await wire.name("127.0.0.5", None)
        client = await Client.open("127.0.0.5", port)
        body = await client.until(b"E")  # nobody names it: refused
        assert b"28000" in body
        await wire.name("127.0.0.5", "web-new")
        client = await Client.open("127.0.0.5", port)
        await client.until(b"Z")
        assert [one.replica for one in (await wire.state()).connections] == ["web-new"]
        client.writer.close()
        await wire.close()


async def test_without_a_controller_an_address_is_its_own_name(
    postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    async with shared(postgres, file) as (_, port):
        client = await Client.open("127.0.0.7", port)
        await client.until(b"Z")
        client.writer.close()
        await eventually(lambda: b"127.0.0.7" in file.read_bytes())
