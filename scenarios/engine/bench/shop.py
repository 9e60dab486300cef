"""What the parts about the service share: a database that is emptied, books that must be exact.

After each sample the books are compared with what was acknowledged: every order that got a 2xx is
paid, fulfilled and logged once, and what was moved is what is gone from the stock. Orders that
were sent and not answered when the time was up may be there or not; nothing else may.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import psutil

from cluster.journal import RUN_VARIABLE
from cluster.postgres import Postgres
from cluster.spawn import module_environment
from results.errors import HarnessError
from scenarios.engine.bench.hammer import APART, FIRST_ORDER, SHOP
from scenarios.engine.bench.part import Ground

TABLES = ("orders", "fulfillment_requests", "stock_movements", "shopify_webhook_log")
RUN_SECONDS_MAX = 120.0


class Books(NamedTuple):
    """Counts of one database; None where its schema has no such thing."""

    paid: int
    fulfillments: int
    logged: int
    moved: int | None
    gone: int | None

    def wrong(self, acknowledged: int, sent: int) -> str:
        """What is not exact, for a person; "" if all is."""
        counts = {count for count in self if count is not None}
        if len(counts) > 1:
            return f"the books differ: {self}"
        if not acknowledged <= self.paid <= sent:
            return f"{acknowledged} of {sent} were acknowledged, and {self.paid} are paid"
        return ""


@dataclass(slots=True)
class Shop:
    """A database with a service's schema in it."""

    dsn: str
    has_stock: bool
    postmaster: psutil.Process

    @classmethod
    async def open(cls, dsn: str) -> "Shop":
        """Look at one whose schema is there."""
        connection = await asyncpg.connect(dsn)
        try:
            has_stock = await connection.fetchval("SELECT to_regclass('stock') IS NOT NULL")
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            postmaster = psutil.Process(backend).parent()
        finally:
            await connection.close()
        assert postmaster is not None
        return cls(dsn, bool(has_stock), postmaster)

    async def clear(self, pending: int = 0) -> None:
        """No orders, or so many that are not paid yet; and the stock is full."""
        connection = await asyncpg.connect(self.dsn)
        try:
            tables = [table for table in TABLES if self.has_stock or table != "stock_movements"]
            await connection.execute(f"TRUNCATE {', '.join(tables)}")
            if self.has_stock:
                await connection.execute("UPDATE stock SET remaining = initial")
                await connection.execute("VACUUM FULL stock")
            await connection.execute(
                "INSERT INTO orders (shop, order_id, status)"
                " SELECT $1, $2::bigint + $3::bigint * n, 'pending'"
                " FROM generate_series(0, $4::integer - 1) AS n",
                SHOP,
                FIRST_ORDER,
                APART,
                pending,
            )
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    async def books(self) -> Books:
        """What is there now."""
        connection = await asyncpg.connect(self.dsn)
        try:
            row = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM orders WHERE status = 'paid'),"
                " (SELECT count(*) FROM fulfillment_requests),"
                " (SELECT count(*) FROM shopify_webhook_log)"
            )
            assert row is not None
            if not self.has_stock:
                return Books(row[0], row[1], row[2], None, None)
            more = await connection.fetchrow(
                "SELECT (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_movements),"
                " (SELECT sum(initial - remaining)::bigint FROM stock)"
            )
            assert more is not None
            return Books(row[0], row[1], row[2], more[0], more[1])
        finally:
            await connection.close()

    async def mean_batch(self) -> float:
        """How many orders a transaction paid, by the id of the transaction in their rows."""
        connection = await asyncpg.connect(self.dsn)
        try:
            mean = await connection.fetchval(
                "SELECT count(*)::float8 / greatest(1, count(DISTINCT xmin::text)) FROM orders"
            )
        finally:
            await connection.close()
        return float(mean)

    def cpu_seconds(self) -> float:
        """CPU time of the server so far, of its backends that ended, too."""
        times = self.postmaster.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in self.postmaster.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                own = child.cpu_times()
                total += own.user + own.system
        return float(total)


@contextlib.asynccontextmanager
async def postgres(ground: Ground) -> AsyncIterator[Postgres]:
    """A server of the part's own."""
    server = await Postgres.start(journal=ground.journal, folder=ground.folder)
    try:
        yield server
    finally:
        await server.stop()


async def own_shop(ground: Ground, server: Postgres, name: str) -> Shop:
    """A database for the service that ships with onceproof."""
    dsn = await server.fresh_database(name)
    await run(ground, (sys.executable, "-m", "service", "schema"), {"DATABASE_URL": dsn})
    return await Shop.open(dsn)


async def run(
    ground: Ground,
    command: Sequence[str],
    environment: Mapping[str, str],
    where: Path | None = None,
) -> str:
    """Run a program to its end; its output. HarnessError with its last words."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, cwd=where, start_new_session=True,
        env=module_environment({**environment, RUN_VARIABLE: ground.journal.owner}),
    )  # fmt: skip
    ground.journal.spawned(Path(command[0]).name, process.pid)
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            said, complained = await process.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        if isinstance(error, TimeoutError):
            raise HarnessError(f"{command[0]} did not end in {RUN_SECONDS_MAX:g} s.") from None
        raise
    if process.returncode:
        last = complained.decode(errors="replace").strip().splitlines()[-3:]
        raise HarnessError(f"{' '.join(command[:3])} failed: {' / '.join(last)}")
    return said.decode()


async def run_json(
    ground: Ground, command: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """The same, for one whose output is a JSON object."""
    found: dict[str, Any] = json.loads(await run(ground, command, environment))
    return found
