"""The whole service, from the first byte to the 2xx, beside Node and beside Postgres alone.

One process each, the same signed bodies over 64 connections, an order each. pgbench makes the same
rows without any service: what Postgres can commit, with a round trip a step and with one statement
an order. Its 32 clients and its own process share the machine with nobody but Postgres.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.postgres_binaries import find_binaries
from results.benchmark import Target
from results.errors import HarnessError
from scenarios.engine.bench.part import Ground, Measured, Peer, Peers
from scenarios.engine.bench.serving import EXPRESS, Service, express, ours
from scenarios.engine.bench.shop import Shop, own_shop, postgres, run

SQL = Path(__file__).parent / "sql"
CLIENTS, THREADS = 32, 2
NO_EXPRESS = "Express: Node 20 and `npm install --prefix examples/express`"
NO_PGBENCH = "pgbench: it is not among the binaries of this Postgres"


@dataclass(slots=True)
class Served:
    """A service."""

    name: str
    service: Service

    async def measure(self, seconds: float) -> Measured:
        """As fast as it answers."""
        found = await self.service.hammer(seconds)
        found.values.pop("kept")
        return found


@dataclass(slots=True)
class Pgbench:
    """Postgres alone."""

    name: str
    ground: Ground
    shop: Shop
    program: Path
    script: Path

    async def measure(self, seconds: float) -> Measured:
        """As fast as it commits; whole seconds, at least one."""
        await self.shop.clear()
        before = self.shop.cpu_seconds()
        said = await run(
            self.ground,
            (str(self.program), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", str(THREADS),
             "-T", str(max(1, round(seconds))), "-D", "n=0", "-f", str(self.script),
             self.shop.dsn),
            {},
        )  # fmt: skip
        done = re.search(r"transactions actually processed: (\d+)", said)
        per_second = re.search(r"tps = ([\d.]+)", said)
        if done is None or per_second is None:
            raise HarnessError("pgbench said something else than it used to; read its output")
        number = int(done[1])
        cpu_us = (self.shop.cpu_seconds() - before) / number * 1e6
        wrong = (await self.shop.books()).wrong(number, number)
        return Measured(
            {"per_second": float(per_second[1]), "postgres_cpu_us": cpu_us}, wrong=wrong
        )


def _target(what: str, value: str, over: str, at_least: float) -> Target:
    return Target(what=what, value=(value, "per_second"), over=(over, "per_second"),
                  at_least=at_least)  # fmt: skip


GROUP, FAST, FUNCTION = "aiohttp + group", "fast + group", "aiohttp + function"
NODE = "Express, article"
SEPARATE, ONE = "pgbench, separate statements", "pgbench, one statement"


class WholeService:
    """The part."""

    name = "service"
    title = "Webhooks a second of a whole service, one process, 64 connections, 2xx after COMMIT"
    targets = (
        _target("aiohttp + group over Express", GROUP, NODE, 5),
        _target("aiohttp + group over pgbench with separate statements", GROUP, SEPARATE, 1.2),
        _target("fast + group over pgbench with one statement a webhook", FAST, ONE, 1.0),
        _target("fast + group over Express", FAST, NODE, 8),
    )

    def open(self, ground: Ground) -> AbstractAsyncContextManager[Peers]:
        """All services run all the time; who is not measured is idle."""
        return _open(ground)


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Peers]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres(ground))
        peers: list[Peer] = []
        missing: list[str] = []
        for name, strategy, ingest in (
            (GROUP, "group", "aiohttp"), (FAST, "group", "fast"), (FUNCTION, "function", "aiohttp"),
        ):  # fmt: skip
            shop = await own_shop(ground, server, f"{ingest}_{strategy}")
            running = await stack.enter_async_context(ours(ground, shop, strategy, ingest))
            peers.append(Served(name, running))
        if shutil.which("node") and (EXPRESS / "node_modules").is_dir():
            dsn = await server.fresh_database("express")
            await run(ground, ("node", "schema.js"), {"DATABASE_URL": dsn}, EXPRESS)
            shop = await Shop.open(dsn)
            peers.append(Served(NODE, await stack.enter_async_context(express(ground, shop))))
        else:
            missing.append(NO_EXPRESS)
        program = find_binaries().folder / "pgbench"
        if program.is_file():
            shop = await own_shop(ground, server, "pgbench")
            for name, script in ((SEPARATE, "separate_statements"), (ONE, "one_statement")):
                peers.append(Pgbench(name, ground, shop, program, SQL / f"{script}.sql"))
        else:
            missing.append(NO_PGBENCH)
        yield Peers(peers, missing)


PART = WholeService()
