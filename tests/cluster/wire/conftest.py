import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from cluster.journal import Journal
from cluster.postgres import Postgres
from cluster.wire.client import Wire
from results.records import ConnectionTrace, HoldTrace, StatementTrace

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "the-token-of-this-test"
ORDER = 910_000_000_000_000_042
WEBHOOK = "6f1c9f0e-3f0a-4a51-9d5c-7f7a3b1c2d3e"
Trace = StatementTrace | ConnectionTrace | HoldTrace


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("wire-postgres")
    with Journal(folder / "journal.jsonl") as journal:
        server = asyncio.run(Postgres.start(journal=journal, folder=folder / "postgres"))
        try:
            yield server
        finally:
            asyncio.run(server.stop())


async def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it never came to be"
        await asyncio.sleep(0.01)


@dataclass
class Bench:
    """A wire in a process of its own, in front of the session's Postgres."""

    postgres: Postgres
    wire: Wire
    control_port: int
    file: Path
    ports: dict[str, int]

    def dsn(self, replica: str | None = None) -> str:
        """Through the wire, or past it."""
        if replica is None:
            return self.postgres.dsn
        host, port = self.postgres.host, self.postgres.port
        return self.postgres.dsn.replace(f"{host}:{port}", f"127.0.0.1:{self.ports[replica]}")

    @asynccontextmanager
    async def client(self, replica: str | None = "web-0") -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.dsn(replica), timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()

    def traces(self) -> list[Trace]:
        lines = self.file.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Trace) for line in lines]

    async def hold_trace(self, hold_id: str) -> HoldTrace:
        def find() -> HoldTrace | None:
            found = (t for t in self.traces() if isinstance(t, HoldTrace) and t.hold_id == hold_id)
            return next(found, None)

        return await eventually(find)  # type: ignore[no-any-return]

    async def count(self) -> int:
        async with self.client(None) as direct:
            return int(await direct.fetchval("SELECT count(*) FROM wired"))


@asynccontextmanager
async def started_wire(upstream: str, file: Path, *more: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cluster.wire", *(("--upstream", upstream) * bool(upstream)),
        "--control-port", "0",
        "--file", str(file), *more, cwd=ROOT, env={**os.environ, "ONCEPROOF_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = (await asyncio.wait_for(process.stdout.readline(), 20)).split()
        assert ready[0] == b"ready"
        yield int(ready[1])
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            assert await asyncio.wait_for(process.wait(), 10) == 0
        except TimeoutError:
            process.kill()
            await process.wait()
            raise


@pytest.fixture
async def bench(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Bench]:
    direct = await asyncpg.connect(postgres.dsn)
    await direct.execute(
        "DROP TABLE IF EXISTS wired; CREATE TABLE wired (id bigint, note text, body jsonb)"
    )
    await direct.close()
    file = tmp_path / "wire.jsonl"
    async with started_wire(f"{postgres.host}:{postgres.port}", file) as control_port:
        wire = await Wire.connect("127.0.0.1", control_port, TOKEN)
        try:
            ports = {name: await wire.open_port(name) for name in ("web-0", "web-1")}
            yield Bench(postgres, wire, control_port, file, ports)
        finally:
            await wire.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:  # bound and not listening: nobody else can listen on it
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
