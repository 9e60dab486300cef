"""What a statement is taken to touch; whatever is not understood must conflict with everything."""

import pytest

from scenarios.engine.explore.footprint import (
    EVERYTHING,
    PROVIDER,
    Footprint,
    Schema,
    footprint,
    independent,
)

SCHEMA = Schema(
    frozenset({"orders", "stock", "log", "lines"}),
    frozenset({("lines", "orders"), ("orders", "lines")}),
)


def of(sql: str, **more: bool) -> Footprint:
    known = {"publishes": False, "wrote": False, "read_committed": True, **more}
    return footprint((sql,), schema=SCHEMA, **known)


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("SELECT status FROM orders WHERE id = $1", set()),
        ('SELECT 1 FROM "orders" JOIN public.stock ON true', set()),
        ("SELECT 1 FROM stock FOR UPDATE", {"stock"}),
        ("SELECT 1 FROM stock FOR NO KEY UPDATE SKIP LOCKED", {"stock"}),
        ("UPDATE stock SET remaining = remaining - $1", {"stock"}),
        ("INSERT INTO log (id) VALUES ($1) ON CONFLICT DO NOTHING", {"log"}),
        ("INSERT INTO lines (id) VALUES ($1)", {"lines", "orders"}),  # the foreign key
        ("DELETE FROM log USING stock WHERE true", {"log"}),
        ("SELECT pg_advisory_xact_lock($1)", {"(advisory)"}),
        ("WITH x AS (UPDATE stock SET a = 1 RETURNING *) SELECT * FROM x", {"stock"}),
    ],
)
def test_what_is_understood(sql: str, writes: set[str]) -> None:
    assert of(sql) == Footprint(frozenset(writes))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT fulfil($1)",
        "SELECT 1 FROM stock, log FOR UPDATE",
        "SELECT 1 FROM orders o, some_view",
        "SELECT * INTO other FROM stock",
        "SELECT * FROM some_view",
        "UPDATE elsewhere SET a = 1",
        "LOCK TABLE stock",
        "TRUNCATE log",
        "MERGE INTO stock USING log ON true WHEN MATCHED THEN DELETE",
        "SAVEPOINT x",
        "COPY log FROM STDIN",
        "?",
    ],
)
def test_what_is_not_conflicts_with_everything(sql: str) -> None:
    assert of(sql) == EVERYTHING


def test_whatever_publishes_or_has_a_snapshot_of_its_own_conflicts_with_everything() -> None:
    read = "SELECT status FROM orders"
    assert of(read, publishes=True) == EVERYTHING
    assert of(read, read_committed=False) == EVERYTHING
    assert of("COMMIT", wrote=True) == EVERYTHING
    assert of("ROLLBACK", wrote=True) == EVERYTHING
    assert of("COMMIT") == Footprint()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("SELECT 1 FROM stock", "UPDATE stock SET a = 1", True),  # not committed: unseen
        ("UPDATE log SET a = 1", "UPDATE stock SET a = 1", True),
        ("UPDATE stock SET a = 2", "UPDATE stock SET a = 1", False),
        ("SELECT 1 FROM stock FOR SHARE", "UPDATE stock SET a = 1", False),
        ("INSERT INTO lines (id) VALUES (1)", "UPDATE orders SET a = 1", False),
        ("SELECT fulfil(1)", "SELECT 1 FROM log", False),
    ],
)
def test_which_orders_cannot_matter(one: str, other: str, expected: bool) -> None:
    assert independent(of(one), of(other)) is expected
    assert independent(of(other), of(one)) is expected


def test_calls_of_the_provider_conflict_with_each_other_alone() -> None:
    assert not independent(PROVIDER, PROVIDER)
    assert independent(PROVIDER, of("UPDATE stock SET a = 1"))
