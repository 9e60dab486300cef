"""The ledger's reader on a real database, by the SELECTs of a service that keeps an inbox."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from cluster import ledgers
from cluster.ledgers import LedgerReader
from cluster.postgres import Postgres
from results.errors import ClusterError, ConfigError
from results.records import Line, Snapshot

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
