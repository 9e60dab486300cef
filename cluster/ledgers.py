"""Reads what the service's database holds, by the SELECTs that the service declares.

A snapshot is one REPEATABLE READ, READ ONLY transaction: all queries see the same instant. Only
orders that changed since the snapshot before are written, so that a run of hours stays small;
`results.ledger` folds them together again. The connection goes straight to the database, never
through the wire: the judge must not depend on what it judges.

Limits: a query returns at most `ROWS_MAX` rows; a snapshot has a deadline.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from results.errors import ClusterError, ConfigError
from results.records import Fulfillment, Line, OrderState, Snapshot, StockLevel

ROWS_MAX = 2_000_000
Order = tuple[str, int]
COLUMNS = {
    "orders": ("shop", "order_id", "status"),
    "fulfillments": ("shop", "order_id", "id", "key", "sent"),
    "movements": ("shop", "order_id", "sku", "quantity"),
    "webhook_log": ("shop", "order_id", "webhook_id"),
    "inbox": ("shop", "order_id"),
    "stock": ("sku", "initial", "remaining"),
}

ACTIVITY = """
    SELECT count(*) FILTER (WHERE xact_start < clock_timestamp() - interval '250 ms') AS open,
           count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
      FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend'
"""


class LedgerReader:
    """Takes snapshots of one database and appends them to the run's ledger file."""

    def __init__(self, dsn: str, queries: Mapping[str, str], file: Path) -> None:
        self._dsn = dsn
        self._queries = dict(queries)
        self._file = file
        self._seen: dict[Order, OrderState] = {}
        self._checked: set[str] = set()
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None
        self.last: Snapshot | None = None
        self.taken = 0

    async def snapshot(self, reason: str, *, timeout_seconds: float = 30.0) -> Snapshot:
        """One consistent look; ClusterError when a declared query fails or takes too long."""
        async with self._lock:
            try:
                async with asyncio.timeout(timeout_seconds):
                    snapshot = await self._read(reason)
            except TimeoutError:
                raise ClusterError(
                    f"The ledger could not be read within {timeout_seconds:.0f} s. Look for locks "
                    "in the service's database, or for a slow query in [ledger]."
                ) from None
            except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
                raise ClusterError(
                    f"The ledger could not be read, for the database does not answer: {error}. "
                    "Look into logs/postgres.log of the run."
                ) from None
            except asyncpg.PostgresError as error:
                raise ClusterError(
                    f"The ledger could not be read: {error}. Check the queries under [ledger] of "
                    "onceproof.toml against the database."
                ) from None
            append(self._file, snapshot)
            self.last = snapshot
            self.taken += 1
            return snapshot

    async def settled(self) -> bool:
        """True when nothing is unsent, open or waiting any more."""
        snapshot = await self.snapshot("sample")
        unsent = any(
            state.in_inbox or not all(row.sent for row in state.fulfillments)
            for state in self._seen.values()
        )
        return not unsent and not snapshot.open_transactions and not snapshot.waiting_locks

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def _fetch(
        self, connection: "asyncpg.Connection[Any]", name: str, sql: str
    ) -> list[asyncpg.Record]:
        """The rows of one query; ConfigError where it lacks a column."""
        if name not in self._checked:
            prepared = await connection.prepare(sql)
            found = [attribute.name for attribute in prepared.get_attributes()]
            if lacking := [column for column in COLUMNS[name] if column not in found]:
                raise ConfigError(
                    f"The query {name!r} under [ledger] of onceproof.toml has no column "
                    f"{', '.join(lacking)}: it must be a SELECT of {', '.join(COLUMNS[name])}."
                )
            self._checked.add(name)
        # By a cursor: a query that returns too much must not fill the memory first.
        cursor = await connection.cursor(sql)
        return list(await cursor.fetch(ROWS_MAX + 1))

    async def _read(self, reason: str) -> Snapshot:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn, timeout=5, server_settings={"application_name": "onceproof-ledger"}
            )
        begun_ns = time.monotonic_ns()
        rows: dict[str, list[asyncpg.Record]] = {}
        activity = await self._connection.fetchrow(ACTIVITY)
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            for name, sql in self._queries.items():
                rows[name] = await self._fetch(self._connection, name, sql)
                if len(rows[name]) > ROWS_MAX:
                    raise ClusterError(f"The ledger query {name!r} returned over {ROWS_MAX} rows.")
        ended_ns = time.monotonic_ns()
        orders = group_by_order(rows)
        changed = tuple(state for key, state in orders.items() if self._seen.get(key) != state)
        gone = tuple(
            OrderState(shop=shop, order_id=order_id, status=None)
            for shop, order_id in self._seen.keys() - orders.keys()
        )
        self._seen = orders
        return Snapshot(
            begun_ns=begun_ns,
            ended_ns=ended_ns,
            reason=reason,
            orders=changed + gone,
            stock=tuple(
                StockLevel(
                    sku=row["sku"], initial=whole(row, "initial"), remaining=whole(row, "remaining")
                )
                for row in rows.get("stock", ())
            ),
            open_transactions=activity["open"] if activity else 0,
            waiting_locks=activity["waiting"] if activity else 0,
        )


def group_by_order(rows: Mapping[str, list[Any]]) -> dict[Order, OrderState]:
    """The rows of all queries, put together order by order."""
    status: dict[Order, str] = {}
    fulfillments: dict[Order, list[Fulfillment]] = defaultdict(list)
    movements: dict[Order, list[Line]] = defaultdict(list)
    webhooks: dict[Order, list[str]] = defaultdict(list)
    for row in rows.get("orders", ()):
        status[order_of(row)] = row["status"]
    for row in rows.get("fulfillments", ()):
        fulfillments[order_of(row)].append(
            Fulfillment(id=str(row["id"]), key=row["key"], sent=row["sent"])
        )
    for row in rows.get("movements", ()):
        movements[order_of(row)].append(Line(sku=row["sku"], quantity=whole(row, "quantity")))
    for row in rows.get("webhook_log", ()):
        webhooks[order_of(row)].append(text(row, "webhook_id"))
    waiting = {order_of(row) for row in rows.get("inbox", ())}
    return {
        key: OrderState(
            shop=key[0],
            order_id=key[1],
            status=status.get(key),
            fulfillments=tuple(sorted(fulfillments.get(key, ()), key=lambda row: row.id)),
            movements=tuple(sorted(movements.get(key, ()), key=lambda line: line.sku)),
            webhook_ids=tuple(sorted(webhooks.get(key, ()))),
            in_inbox=key in waiting,
        )
        for key in sorted({*status, *fulfillments, *movements, *webhooks, *waiting})
    }


def order_of(row: Any) -> Order:
    """Which order a row is of."""
    return text(row, "shop"), whole(row, "order_id")


def whole(row: Any, column: str) -> int:
    """A whole number, however the database spells it; ConfigError for anything else."""
    try:
        number = int(row[column])
        if number == Decimal(row[column]):
            return number
    except (ArithmeticError, TypeError, ValueError):
        pass
    raise ConfigError(
        f"A query under [ledger] of onceproof.toml returned {row[column]!r} as {column}, which is "
        "no whole number."
    )


def text(row: Any, column: str) -> str:
    """A text; ConfigError for a NULL."""
    if row[column] is None:
        raise ConfigError(
            f"A query under [ledger] of onceproof.toml returned NULL as {column}. Leave such rows "
            "out (WHERE ... IS NOT NULL)."
        )
    return str(row[column])


def append(file: Path, record: msgspec.Struct) -> None:
    """Add one line to a file with a single write, so that a crash tears at most that line."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, msgspec.json.encode(record) + b"\n")
    finally:
        os.close(descriptor)
