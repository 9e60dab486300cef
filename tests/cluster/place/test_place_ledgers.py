"""The ledger's reader on a real database, by the SELECTs of a service that keeps an inbox."""

import asyncio
import gc
import random
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from cluster import ledgers
from cluster.ledgers import LedgerReader, Order, group_by_order, settled
from cluster.postgres import Postgres
from results.errors import ClusterError, ConfigError
from results.records import Line, OrderState, Snapshot

SCHEMA = """
    CREATE TABLE orders (shop text, order_id bigint, status text);
    CREATE TABLE inbox (shop text, order_id bigint, done_at timestamptz);
    CREATE TABLE outbox (id int, shop text, order_id bigint, key text, sent boolean);
"""
STOCK = "SELECT 'x' AS sku, generate_series(1, {rows}) AS initial, 1 AS remaining"
QUERIES = {
    "orders": "SELECT shop, order_id, status FROM orders",
    "fulfillments": "SELECT shop, order_id, id, key, sent FROM outbox",
    "inbox": "SELECT shop, order_id FROM inbox WHERE done_at IS NULL",
}


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(SCHEMA)
    yield connection
    await connection.close()


async def test_only_what_changed_is_written_and_a_full_inbox_is_not_settled(
    database: Any, postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.jsonl"
    reader = LedgerReader(postgres.dsn, QUERIES, file)
    await reader.snapshot("sample")
    await database.execute("INSERT INTO inbox VALUES ('a', 1, NULL)")
    assert not await reader.settled()
    await database.execute(
        "UPDATE inbox SET done_at = now(); INSERT INTO orders VALUES ('a', 1, 'paid');"
        "INSERT INTO outbox VALUES (7, 'a', 1, 'k', false)"
    )
    assert not await reader.settled()
    await database.execute("UPDATE outbox SET sent = true; INSERT INTO orders VALUES ('a', 2, 'x')")
    assert await reader.settled()
    await database.execute("DELETE FROM orders WHERE order_id = 2")
    await reader.snapshot("final")
    await reader.close()

    looks = [msgspec.json.decode(line, type=Snapshot) for line in file.read_bytes().splitlines()]
    seen = [
        [(one.order_id, one.status, one.in_inbox, [row.sent for row in one.fulfillments])
         for one in look.orders] for look in looks
    ]  # fmt: skip
    assert seen == [
        [],
        [(1, None, True, [])],
        [(1, "paid", False, [False])],
        [(1, "paid", False, [True]), (2, "x", False, [])],
        [(2, None, False, [])],
    ]


async def test_a_look_lasts_longer_by_the_error_of_its_clock(
    database: Any, postgres: Postgres, tmp_path: Path
) -> None:
    reader = LedgerReader(postgres.dsn, QUERIES, tmp_path / "l.jsonl", error_ns=10**12)
    before_ns = time.monotonic_ns()
    look = await reader.snapshot("sample")
    after_ns = time.monotonic_ns()
    await reader.close()
    assert before_ns <= look.begun_ns + 10**12 <= look.ended_ns - 10**12 <= after_ns


@pytest.mark.parametrize(
    ("sql", "error", "said"),
    [
        ("SELECT shop, order_id AS number FROM inbox", ConfigError, "has no column order_id"),
        (
            "SELECT 's' AS shop, 'x7' AS order_id",
            ConfigError,
            "'x7' as order_id, which is no whole",
        ),
        ("SELECT 's' AS shop, 1.5 AS order_id", ConfigError, "as order_id, which is no whole"),
        ("SELECT NULL::text AS shop, 1 AS order_id", ConfigError, "NULL as shop"),
        ("SELECT nothing", ClusterError, "Check the queries under"),
    ],
)
async def test_a_wrong_query_is_named(
    database: Any, postgres: Postgres, tmp_path: Path, sql: str, error: type[Exception], said: str
) -> None:
    reader = LedgerReader(postgres.dsn, {"inbox": sql}, tmp_path / "ledger.jsonl")
    with pytest.raises(error, match=said):
        await reader.snapshot("sample")
    await reader.close()


@pytest.mark.parametrize(("rows", "fits"), [(7, True), (10, True), (11, False), (2**31 - 1, False)])
async def test_a_query_that_returns_too_much_is_refused_before_it_fills_the_memory(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, fits: bool
) -> None:
    monkeypatch.setattr(ledgers, "ROWS_MAX", 10)
    reader = LedgerReader(postgres.dsn, {"stock": STOCK.format(rows=rows)}, tmp_path / "ledger")
    try:
        if fits:
            snapshot = await reader.snapshot("sample", timeout_seconds=10)
            assert [one.initial for one in snapshot.stock] == list(range(1, rows + 1))
        else:
            with pytest.raises(ClusterError, match="over 10 rows"):
                await reader.snapshot("sample", timeout_seconds=10)
            assert not (tmp_path / "ledger").exists()
    finally:
        await reader.close()


async def test_a_whole_number_may_be_of_any_type(postgres: Postgres, tmp_path: Path) -> None:
    moved = "SELECT 's' AS shop, '7' AS order_id, 'x' AS sku, 2.00 AS quantity"
    reader = LedgerReader(postgres.dsn, {"movements": moved}, tmp_path / "ledger")
    (state,) = (await reader.snapshot("sample")).orders
    await reader.close()
    assert (state.order_id, state.movements) == (7, (Line(sku="x", quantity=2),))


EVERYTHING = {
    "orders": "WITH paid AS (SELECT * FROM orders) SELECT shop, order_id, status FROM paid;",
    "fulfillments": "SELECT shop, order_id::text, id, key, sent FROM outbox -- all of them",
    "movements": "SELECT shop, order_id::numeric(30, 2), sku, quantity FROM movements",
    "webhook_log": "SELECT shop, order_id, webhook_id FROM log",
    "inbox": QUERIES["inbox"] + ";",
}
INSERTS = (
    "INSERT INTO orders VALUES ($1, $2, 'paid')",
    "INSERT INTO outbox VALUES (1, $1, $2, NULL, false)",
    "INSERT INTO movements VALUES ($1, $2, 'x', -1)",
    "INSERT INTO log VALUES ($1, $2, 'w')",
    "INSERT INTO inbox VALUES ($1, $2, NULL)",
)
CHANGES = (
    "UPDATE orders SET status = CASE status WHEN 'paid' THEN 'cancelled' ELSE 'paid' END",
    "UPDATE outbox SET sent = NOT sent",
    "UPDATE outbox SET key = CASE WHEN key IS NULL THEN 'None' END",
    "UPDATE movements SET quantity = -3 - quantity",
    "UPDATE log SET webhook_id = webhook_id || 'w'",
    "UPDATE inbox SET done_at = CASE WHEN done_at IS NULL THEN now() END",
    *(f"DELETE FROM {table}" for table in ("orders", "outbox", "movements", "log", "inbox")),
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_written_is_what_the_database_held_at_every_look(
    database: Any, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The rows of many looks, folded together again, beside all rows, read and grouped at once."""
    monkeypatch.setattr(ledgers, "ROWS_AT_ONCE", 3)
    await database.execute(
        "CREATE TABLE movements (shop text, order_id bigint, sku text, quantity int);"
        "CREATE TABLE log (shop text, order_id bigint, webhook_id text)"
    )
    chosen = random.Random(seed)
    reader = LedgerReader(postgres.dsn, EVERYTHING, tmp_path / "ledger.jsonl")
    folded: dict[Order, OrderState] = {}
    for _ in range(60):
        changes = chosen.randrange(4)
        for _ in range(changes):
            shop, order_id = chosen.choice("ab"), chosen.randrange(1, 6)
            change = chosen.choice([*INSERTS, *CHANGES, *CHANGES])
            where = "" if change in INSERTS else " WHERE shop = $1 AND order_id = $2"
            await database.execute(change + where, shop, order_id)
        quiet = await reader.settled()
        assert reader.last is not None
        held = group_by_order({name: await database.fetch(sql) for name, sql in EVERYTHING.items()})
        written = {(state.shop, state.order_id): state for state in reader.last.orders}
        folded |= written
        assert {key: state for key, state in folded.items() if key in held} == held
        for shop, order_id in folded.keys() - held.keys():
            assert folded[shop, order_id] == OrderState(shop=shop, order_id=order_id, status=None)
        assert changes or not written
        assert quiet == all(map(settled, held.values()))
    await reader.close()


async def test_a_look_that_failed_hides_no_change(
    database: Any, postgres: Postgres, tmp_path: Path
) -> None:
    queries = {"orders": QUERIES["orders"], "inbox": "SELECT shop, order_id FROM inbox"}
    reader = LedgerReader(postgres.dsn, queries, tmp_path / "ledger.jsonl")
    await database.execute("INSERT INTO orders VALUES ('a', 1, 'pending'), ('a', 2, 'pending')")
    await reader.snapshot("sample")
    await database.execute(
        "UPDATE orders SET status = 'paid' WHERE order_id = 1; INSERT INTO inbox VALUES (NULL, 3)"
    )
    with pytest.raises(ConfigError, match="NULL as shop"):
        await reader.snapshot("sample")
    await database.execute("UPDATE inbox SET shop = 'a'")
    found = (await reader.snapshot("sample")).orders
    assert [(one.order_id, one.status, one.in_inbox) for one in found] == [
        (1, "paid", False),
        (3, None, True),
    ]
    await reader.close()


async def test_a_look_at_many_orders_needs_little_more_memory_than_at_few(
    database: Any, postgres: Postgres, tmp_path: Path
) -> None:
    """What a look takes while it lasts, of 20,000 orders that are as they were but for one."""
    orders = 20_000
    reader = LedgerReader(postgres.dsn, QUERIES, tmp_path / "ledger.jsonl")
    await database.execute(
        f"INSERT INTO orders SELECT 'a', 910000000000000000 + n, 'paid'"
        f" FROM generate_series(1, {orders}) AS n;"
        f"INSERT INTO outbox SELECT n, 'a', 910000000000000000 + n, n || repeat('k', 40), true"
        f" FROM generate_series(1, {orders}) AS n"
    )
    assert len((await reader.snapshot("sample")).orders) == orders
    assert await reader.settled()
    await database.execute("UPDATE outbox SET sent = false WHERE id = 7")
    gc.collect()
    tracemalloc.start()
    try:
        assert not await reader.settled()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now / orders < 20
    assert peak / orders < 120
    await reader.close()


@pytest.mark.parametrize("read", [0, 2, 4_002])
async def test_a_database_that_dies_during_a_look_is_a_cluster_error_and_the_next_one_looks_anew(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    """It dies when some rows have been read: in the first query, or in a later one."""
    rows = "SELECT 'a' AS shop, n AS order_id{more} FROM generate_series(1, 4000) AS n"
    queries = {"orders": rows.format(more=", 'paid' AS status"), "inbox": rows.format(more="")}
    reader = LedgerReader(postgres.dsn, queries, tmp_path / "ledger.jsonl")
    seen, reached = 0, asyncio.Event()

    def order_of(row: Any) -> Order:
        nonlocal seen
        seen += 1
        if seen == read:
            reached.set()
        return row["shop"], row["order_id"]

    with monkeypatch.context() as slowly:
        slowly.setattr(ledgers, "ROWS_AT_ONCE", 1)
        slowly.setattr(ledgers, "order_of", order_of)
        look = asyncio.create_task(reader.snapshot("sample"))
        if read:
            await reached.wait()
        await postgres.crash()
        with pytest.raises(ClusterError, match="does not answer"):
            await look
    await postgres.restart()
    assert len((await reader.snapshot("sample")).orders) == 4_000
    await reader.close()


@pytest.mark.parametrize("error", [OSError, asyncpg.InterfaceError, asyncpg.InternalClientError])
async def test_whatever_the_driver_says_of_a_lost_connection_it_is_replaced(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    one = {"inbox": "SELECT 'a' AS shop, 1 AS order_id, pg_backend_pid()"}
    reader = LedgerReader(postgres.dsn, one, tmp_path / "ledger.jsonl")

    def order_of(row: Any) -> Order:
        pids.append(row["pg_backend_pid"])
        if len(pids) == 1:
            raise error("cannot switch to state 12; another operation (2) is in progress")
        return row["shop"], row["order_id"]

    pids: list[int] = []
    monkeypatch.setattr(ledgers, "order_of", order_of)
    with pytest.raises(ClusterError, match="does not answer"):
        await reader.snapshot("sample")
    assert not await reader.settled()
    assert len(set(pids)) == 2
    await reader.close()


async def test_counts_are_added_up_and_waited_for(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    dsn = await postgres.fresh_database("counted")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE bought (id bigint, status text); CREATE TABLE jobs (id bigint);"
        "CREATE TABLE accounts (id bigint, cents int);"
        "INSERT INTO bought VALUES (1, 'paid'), (2, 'pending')"
    )
    reader = LedgerReader(
        dsn,
        {
            "orders": "SELECT 's' AS shop, id AS order_id, status FROM bought",
            "count credits": "SELECT 's' AS shop, id AS order_id, cents / 500.0 AS count"
                             " FROM accounts",
            "count jobs": "SELECT 's' AS shop, id AS order_id, 1 AS count FROM jobs",
        },
        file,
    )  # fmt: skip
    await reader.snapshot("sample")
    assert reader.uncounted == 1
    await connection.execute("INSERT INTO accounts VALUES (1, 500)")
    await reader.snapshot("sample")
    assert reader.uncounted == 1
    await connection.execute("INSERT INTO jobs VALUES (1), (1)")
    found = await reader.snapshot("sample")
    assert reader.uncounted == 0
    assert [(one.name, one.times) for one in found.orders[0].counts] == [
        ("credits", 1), ("jobs", 2),
    ]  # fmt: skip
    await connection.execute("UPDATE accounts SET cents = 750")
    with pytest.raises(ConfigError, match="as count, which is no whole number"):
        await reader.snapshot("sample")
    await reader.close()
    await connection.close()
