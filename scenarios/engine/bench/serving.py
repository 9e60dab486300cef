"""Services under load: ours and the one of examples/express, each a process that stays for a part.

What they write to their logs goes nowhere: putting the lines together is theirs, a disk is not.
"""

import asyncio
import contextlib
import math
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.journal import RUN_VARIABLE
from cluster.ports import free_port
from cluster.spawn import module_environment
from results.errors import HarnessError
from scenarios.engine.bench.hammer import SECRET
from scenarios.engine.bench.part import Ground, Measured
from scenarios.engine.bench.shop import Shop, run_json

EXPRESS = Path(__file__).resolve().parents[3] / "examples" / "express"
READY_SECONDS = 20.0
END_SECONDS = 10.0
CONNECTIONS = 64
PER_SECOND_MAX = 25_000


@dataclass(slots=True)
class Service:
    """A running one and its database."""

    ground: Ground
    shop: Shop
    process: psutil.Process
    port: int
    needs_orders: bool  # their rows must be there before they are paid

    async def hammer(self, seconds: float, rate: float = 0.0) -> Measured:
        """Empty the books, send, compare."""
        count = math.ceil(seconds * (rate * 1.3 if rate else PER_SECOND_MAX)) + CONNECTIONS
        await self.shop.clear(pending=count if self.needs_orders else 0)
        postgres, service = self.shop.cpu_seconds(), self._cpu_seconds()
        asked = {
            "port": self.port, "connections": CONNECTIONS, "seconds": seconds, "rate": rate,
            "count": count, "seed": self.ground.seed,
        }  # fmt: skip
        arguments = [text for name, value in asked.items() for text in (f"--{name}", str(value))]
        found = await run_json(
            self.ground, (sys.executable, "-m", "scenarios.engine.bench.hammer", *arguments), {}
        )
        ok, sent, failed = (int(found.pop(name)) for name in ("ok", "sent", "failed"))
        if not ok:
            raise HarnessError(f"The service on port {self.port} acknowledged nothing.")
        found["service_cpu_us"] = (self._cpu_seconds() - service) / ok * 1e6
        found["postgres_cpu_us"] = (self.shop.cpu_seconds() - postgres) / ok * 1e6
        wrong = (await self.shop.books()).wrong(ok, sent)
        if failed:
            wrong = wrong or f"{failed} of {sent} were refused"
        if sent == count and not rate:
            wrong = wrong or "the generator ran out of requests"
        return Measured(found, wrong=wrong)

    def _cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.asynccontextmanager
async def ours(ground: Ground, shop: Shop, strategy: str, ingest: str) -> AsyncIterator[Service]:
    """The service that ships with onceproof."""
    environment = {
        "DATABASE_URL": shop.dsn, "SHOPIFY_SHARED_SECRET": SECRET.decode(), "STRATEGY": strategy,
        "INGEST": ingest, "FULFILLMENT_URL": "http://127.0.0.1:9/shipments",
    }  # fmt: skip
    command = (sys.executable, "-m", "service", "web")
    async with _process(ground, command, environment) as (process, port):
        yield Service(ground, shop, process, port, needs_orders=False)


@contextlib.asynccontextmanager
async def express(ground: Ground, shop: Shop) -> AsyncIterator[Service]:
    """The article's handler, in Node."""
    environment = {
        "DATABASE_URL": shop.dsn, "SHOPIFY_SHARED_SECRET": SECRET.decode(), "STRATEGY": "article",
        "NODE_ENV": "production",
    }  # fmt: skip
    async with _process(ground, ("node", "server.js"), environment, EXPRESS) as (process, port):
        yield Service(ground, shop, process, port, needs_orders=True)


@contextlib.asynccontextmanager
async def _process(
    ground: Ground, command: Sequence[str], environment: Mapping[str, str],
    where: Path | None = None,
) -> AsyncIterator[tuple[psutil.Process, int]]:  # fmt: skip
    port = free_port()
    told = {**environment, "PORT": str(port), "HOST": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, cwd=where, start_new_session=True,
        env=module_environment({**told, RUN_VARIABLE: ground.journal.owner}),
    )  # fmt: skip
    try:
        ground.journal.spawned(command[-1], process.pid)
        await _ready(port, command)
        yield psutil.Process(process.pid), port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            os.killpg(process.pid, 9)
            await process.wait()


async def _ready(port: int, command: Sequence[str]) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(_answers, port):  # noqa: ASYNC110 - another process: no event tells
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise HarnessError(
            f"{' '.join(command)} was not ready after {READY_SECONDS:g} s: start it by hand and see"
        ) from None


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
