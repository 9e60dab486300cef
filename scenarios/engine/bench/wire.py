"""What the wire adds to a round trip, beside what PgBouncer adds, and how many both carry.

PgBouncer passes bytes, in C; the wire reads every statement, keeps what rules may want to hold,
and writes a trace. It may cost twice as much and no more. What a proxy adds is taken inside one
sample: first without it, then through it. After each sample the trace must have exactly as many
statements as the client made round trips.

Limits: loopback, one statement that does nothing: with a network or real work between, both add
less in proportion.
"""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from cluster.postgres import Postgres
from cluster.postgres_binaries import find_binaries
from cluster.postgres_template import data_parent
from cluster.spawn import spawn
from cluster.wire.client import Wire
from results.benchmark import Target
from scenarios.engine.bench.part import Ground, Measured, Peer, Peers
from scenarios.engine.bench.proxies import Client, Proxy, apart, bouncing, pgbouncer, pin

CONNECTIONS = 16
LARGE = "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"  # 1 GB
STATEMENT = b'"record":"statement"'
TOKEN = "of-the-benchmark"


@dataclass(slots=True)
class Direct:
    """No proxy."""

    client: Client
    port: int
    name: str = "direct"

    async def measure(self, seconds: float) -> Measured:
        """Half of the time with one connection, half with many."""
        median = await self.client.round_trip_us(self.port, seconds / 2)
        _, per_second = await self.client.round_trips(self.port, CONNECTIONS, seconds / 2)
        return Measured({"round_trip_us": median, "per_second": per_second})


@dataclass(slots=True)
class Through:
    """A proxy; what it adds, and what it costs."""

    name: str
    client: Client
    postgres: Postgres
    ground: Ground
    core: int | None
    program: str | None = None  # PgBouncer's; None: the wire

    async def measure(self, seconds: float) -> Measured:
        """A third without the proxy, a third through it, a third with many connections."""
        client, part = self.client, seconds / 3
        direct_us = await client.round_trip_us(self.postgres.port, part)
        async with self._open() as proxy:
            process = psutil.Process(proxy.pid)
            median = await client.round_trip_us(proxy.port, part)
            made_alone = _transactions(client.folder)
            before = process.cpu_times()
            made, per_second = await client.round_trips(proxy.port, CONNECTIONS, part)
            after = process.cpu_times()
            cpu_seconds = after.user + after.system - before.user - before.system
            held = process.memory_info().rss
            wrong = ""
            if proxy.control is not None:
                await proxy.control.flush()
                wrong = await asyncio.to_thread(self._untraced, made + made_alone)
            await self._large(proxy.port)
            grown = max(0, _peak(proxy.pid) - held)
        return Measured(
            {
                "round_trip_us": median, "added_us": median - direct_us, "per_second": per_second,
                "cpu_us": cpu_seconds / made * 1e6, "grown_mb": grown / 1e6,
                "pinned": float(self.core is not None),
            },
            wrong=wrong,
        )  # fmt: skip

    def _open(self) -> AbstractAsyncContextManager[Proxy]:
        if self.program is not None:
            return bouncing(self.ground, self.client, self.postgres, self.program, self.core)
        return self._wire()

    @property
    def _trace(self) -> Path:
        return self.ground.folder / "wire.jsonl"

    @asynccontextmanager
    async def _wire(self) -> AsyncIterator[Proxy]:
        """A new one for each sample: its file has a limit, and its memory a beginning."""
        self._trace.unlink(missing_ok=True)
        child = await spawn(
            "wire", "cluster.wire",
            ("--upstream", f"{self.postgres.host}:{self.postgres.port}", "--file",
             str(self._trace)),
            environment={"ONCEPROOF_TOKEN": TOKEN}, journal=self.ground.journal,
            log_folder=self.ground.folder,
        )  # fmt: skip
        try:
            pin(child.pid, self.core)
            wire = await Wire.connect("127.0.0.1", child.port, TOKEN)
            try:
                yield Proxy(child.pid, await wire.open_port("web-0"), wire)
            finally:
                await wire.close()
        finally:
            await child.stop()

    def _untraced(self, made: int) -> str:
        traced = self._trace.read_bytes().count(STATEMENT)
        return "" if traced == made else f"{made} round trips, {traced} statements in the trace"

    async def _large(self, port: int) -> None:
        """Read a large result, and keep none of it."""

        async def drop(_: bytes) -> None:
            return None

        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user=self.client.user, database=self.client.database,
            password="", ssl=False,
        )  # fmt: skip
        try:
            await connection.copy_from_query(LARGE, output=drop)
        finally:
            await connection.close(timeout=5)


def _transactions(folder: Path) -> int:
    """How many round trips the latencies are of."""
    return sum(log.read_bytes().count(b"\n") for log in folder.glob("latency.*"))


def _peak(pid: int) -> int:
    """The most memory that a process has held; what it holds now where only that is told."""
    with contextlib.suppress(OSError):
        told = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if told is not None:
            return int(told[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)


class WirePart:
    """The price of a proxy."""

    name = "wire"
    title = "What a proxy adds to a round trip, each alone on one core; many: 16 connections"
    targets = (
        Target(what="added per round trip, wire over PgBouncer", value=("wire", "added_us"),
               over=("PgBouncer", "added_us"), at_most=2),
        Target(what="round trips per second of many, wire over PgBouncer",
               value=("wire", "per_second"), over=("PgBouncer", "per_second"), at_least=0.5),
        Target(what="memory that the wire grows by for a result of 1 GB, MB",
               value=("wire", "grown_mb"), at_most=16),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """One Postgres for all."""
        binaries = await asyncio.to_thread(find_binaries)
        folder = data_parent(binaries, ground.journal.create)
        program = pgbouncer()
        try:
            with apart() as core:
                postgres = await Postgres.start(journal=ground.journal, folder=ground.folder)
                try:
                    client = Client.of(binaries, folder, postgres)
                    shared = (client, postgres, ground, core)
                    all_: list[Peer] = [Direct(client, postgres.port), Through("wire", *shared)]
                    missing = []
                    if program is not None:
                        all_.insert(1, Through("PgBouncer", *shared, program))
                    else:
                        missing.append("PgBouncer is not installed: apt-get install pgbouncer")
                    yield Peers(all_, missing)
                finally:
                    await postgres.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


PART = WirePart()
