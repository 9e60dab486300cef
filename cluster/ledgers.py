"""Reads what the service's database holds, by the SELECTs that the service declares.

A snapshot is one REPEATABLE READ, READ ONLY transaction: all queries see the same instant. Only
orders that changed since the snapshot before are written, so that a run of hours stays small;
`results.ledger` folds them together again. For the same reason the rows stream by twice: once for
the digest of each order, and once more, if any digest changed, for the rows of those orders alone.
The connection goes straight to the database, never through the wire: the judge must not depend on
what it judges. Where the other records have another clock, a look lasts longer by its error.

Limits: a query returns at most `ROWS_MAX` rows; a snapshot has a deadline. A query must give the
same rows twice in one transaction (`random()` does not).
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from cluster.order_digests import Order, OrderDigests
from results.errors import ClusterError, ConfigError
from results.ledger import COUNT_PREFIX
from results.records import Count, Fulfillment, Line, OrderState, Snapshot, StockLevel

ROWS_MAX = 2_000_000
ROWS_AT_ONCE = 1_000
COLUMNS = {
    "orders": ("shop", "order_id", "status"),
    "fulfillments": ("shop", "order_id", "id", "key", "sent"),
    "movements": ("shop", "order_id", "sku", "quantity"),
    "webhook_log": ("shop", "order_id", "webhook_id"),
    "inbox": ("shop", "order_id"),
    "stock": ("sku", "initial", "remaining"),
}
COUNTED = ("shop", "order_id", "count")  # of the queries under [ledger.counts]

# What asyncpg says of a database that is gone; the third is its word for a statement that met the
# closing of its own connection.
GONE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)

ACTIVITY = """
    SELECT count(*) FILTER (WHERE xact_start < clock_timestamp() - interval '250 ms') AS open,
           count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
      FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend'
"""


class LedgerReader:
    """Takes snapshots of one database and appends them to the run's ledger file."""

    def __init__(
        self, dsn: str, queries: Mapping[str, str], file: Path, *, error_ns: int = 0
    ) -> None:
        self._error_ns = error_ns  # of our clock beside that of the other records
        self._dsn = dsn
        self._queries = dict(queries)
        self._file = file
        self._digests = OrderDigests()
        self._unsettled: set[Order] = set()  # not sent, or in the inbox
        self._uncounted: set[Order] = set()  # paid, and some count lacks them
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
            except GONE as error:
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
        still = self._unsettled or snapshot.open_transactions or snapshot.waiting_locks
        return not still

    @property
    def uncounted(self) -> int:
        """How many orders that are paid are still to be counted by some book."""
        return len(self._uncounted)

    def _lacks(self, state: OrderState) -> bool:
        books = sum(name.startswith(COUNT_PREFIX) for name in self._queries)
        return state.status == "paid" and sum(one.times > 0 for one in state.counts) < books

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def _check(self, connection: "asyncpg.Connection[Any]", name: str, sql: str) -> None:
        """ConfigError where a query lacks a column."""
        if name in self._checked:
            return
        prepared = await connection.prepare(sql)
        found = [attribute.name for attribute in prepared.get_attributes()]
        if lacking := [column for column in columns_of(name) if column not in found]:
            raise ConfigError(
                f"The query {name!r} under [ledger] of onceproof.toml has no column "
                f"{', '.join(lacking)}: it must be a SELECT of {', '.join(columns_of(name))}."
            )
        self._checked.add(name)

    async def _stream(
        self, connection: "asyncpg.Connection[Any]", name: str
    ) -> AsyncIterator[list[asyncpg.Record]]:
        """The rows of one query, some at a time; ClusterError when they are too many."""
        cursor = await connection.cursor(self._queries[name])
        count = 0
        while rows := await cursor.fetch(ROWS_AT_ONCE):
            count += len(rows)
            if count > ROWS_MAX:
                raise ClusterError(f"The ledger query {name!r} returned over {ROWS_MAX} rows.")
            yield rows

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """The reader's connection; another one after anything went wrong on it."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn, timeout=5, server_settings={"application_name": "onceproof-ledger"}
            )
        try:
            yield self._connection
        except BaseException:
            self._connection.terminate()
            self._connection = None
            raise

    async def _read(self, reason: str) -> Snapshot:
        async with self._connected() as connection:
            begun_ns = time.monotonic_ns()
            activity = await connection.fetchrow(ACTIVITY)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                stock = await self._digest(connection)
                changed = self._digests.changed()
                orders = await self._collect(connection, changed) if changed else {}
            ended_ns = time.monotonic_ns()
        self._digests.keep()
        self._unsettled -= changed
        self._unsettled |= {key for key, state in orders.items() if not settled(state)}
        self._uncounted -= changed
        self._uncounted |= {key for key, state in orders.items() if self._lacks(state)}
        return Snapshot(
            begun_ns=begun_ns - self._error_ns,
            ended_ns=ended_ns + self._error_ns,
            reason=reason,
            orders=tuple(
                orders.get(key) or OrderState(shop=key[0], order_id=key[1], status=None)
                for key in sorted(changed)
            ),
            stock=stock,
            open_transactions=activity["open"] if activity else 0,
            waiting_locks=activity["waiting"] if activity else 0,
        )

    async def _digest(self, connection: "asyncpg.Connection[Any]") -> tuple[StockLevel, ...]:
        """Read every row once and keep none, but for the stock, which has no order."""
        self._digests.begin()
        stock: list[StockLevel] = []
        for name, sql in self._queries.items():
            await self._check(connection, name, sql)
            async for rows in self._stream(connection, name):
                if name == "stock":
                    stock += map(stock_level, rows)
                    continue
                told = columns_of(name)[2:]
                for row in rows:
                    self._digests.add(order_of(row), (name, *(row[column] for column in told)))
        return tuple(stock)

    async def _collect(
        self, connection: "asyncpg.Connection[Any]", wanted: set[Order]
    ) -> dict[Order, OrderState]:
        """The states of these orders; one that has no rows is missing."""
        kept: dict[str, list[asyncpg.Record]] = defaultdict(list)
        for name in self._queries.keys() - {"stock"}:
            async for rows in self._stream(connection, name):
                kept[name] += (row for row in rows if order_of(row) in wanted)
        return group_by_order(kept)


def columns_of(name: str) -> tuple[str, ...]:
    """The columns that a query must have."""
    return COLUMNS.get(name, COUNTED)


def settled(state: OrderState) -> bool:
    """Whether nothing of an order is unsent or waits in an inbox."""
    return not state.in_inbox and all(row.sent for row in state.fulfillments)


def stock_level(row: Any) -> StockLevel:
    """One row of the stock."""
    return StockLevel(
        sku=row["sku"], initial=whole(row, "initial"), remaining=whole(row, "remaining")
    )


def group_by_order(rows: Mapping[str, list[Any]]) -> dict[Order, OrderState]:
    """The rows of all queries, put together order by order."""
    status: dict[Order, str] = {}
    fulfillments: dict[Order, list[Fulfillment]] = defaultdict(list)
    movements: dict[Order, list[Line]] = defaultdict(list)
    webhooks: dict[Order, list[str]] = defaultdict(list)
    counts: dict[Order, Counter[str]] = defaultdict(Counter)
    for name in sorted(rows.keys() - COLUMNS.keys()):
        for row in rows[name]:
            counts[order_of(row)][name.removeprefix(COUNT_PREFIX)] += whole(row, "count")
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
            counts=tuple(Count(name, times) for name, times in counts.get(key, {}).items()),
        )
        for key in sorted({*status, *fulfillments, *movements, *webhooks, *waiting, *counts})
    }


def order_of(row: Any) -> Order:
    """Which order a row is of."""
    return text(row, "shop"), whole(row, "order_id")


def whole(row: Any, column: str) -> int:
    """A whole number, however the database spells it; ConfigError for anything else."""
    value = row[column]
    if type(value) is int:
        return value
    try:
        number = int(value)
        if number == Decimal(value):
            return number
    except (ArithmeticError, TypeError, ValueError):
        pass
    raise ConfigError(
        f"A query under [ledger] of onceproof.toml returned {value!r} as {column}, which is "
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
