"""What a statement is taken to touch; whatever is not understood must conflict with everything."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from cluster.wire.flight import Flight
from scenarios.engine.explore.footprint import (
    EVERYTHING,
    PROVIDER,
    Footprint,
    Schema,
    footprint,
    independent,
)
from scenarios.engine.explore.footprints import Footprints, schema_of

SCHEMA = Schema(
    frozenset({"orders", "stock", "log", "lines"}),
    strange=frozenset({"some_view"}),
    ties=frozenset({("lines", "orders"), ("orders", "lines")}),
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
        ("SELECT pg_advisory_xact_lock(hashtext($1))", {"(advisory)"}),
        ("INSERT INTO log SELECT pg_try_advisory_xact_lock($1)", {"(advisory)", "log"}),
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
        'SELECT "claimOrder"($1)',
        "WITH stock AS (SELECT 1 FROM stock FOR UPDATE) SELECT 1 FROM stock",
        "WITH some_view AS (SELECT 1 FROM some_view) SELECT 1 FROM some_view",
        "SELECT 1 FROM orders JOIN lines ON true, stock FOR UPDATE",
        "SELECT 1 FROM orders JOIN lines USING (id), stock FOR UPDATE",
        "SELECT 1 FROM (SELECT $1 AS id) x, stock FOR UPDATE",
        "SELECT 1 FROM (stock JOIN log ON true) FOR UPDATE",
        'SELECT 1 FROM"some_view"',
        "DELETE FROM log USING some_view WHERE true",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1 FROM stock",
        f"SELECT {'a, ' * 2000} FROM stock"[:4000],  # cut off: FOR UPDATE may have followed
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


def test_what_a_failing_write_frees_conflicts_with_whoever_waits_for_it() -> None:
    holds = Footprint(frozenset({"log"}), held=frozenset({"stock"}))
    assert not independent(holds, of("UPDATE stock SET a = 1"))
    assert not independent(of("UPDATE stock SET a = 1"), holds)
    assert independent(holds, of("UPDATE orders SET a = 1"))
    assert not independent(replace(holds, held=frozenset({"*"})), of("UPDATE orders SET a = 1"))


def test_a_cascade_reaches_further_and_a_trigger_there_makes_its_parent_strange() -> None:
    plain = [{"name": one, "plain": True} for one in "abcd"]
    tied = [
        {"parent": "a", "child": "b", "follows": True},
        {"parent": "b", "child": "c", "follows": True},
        {"parent": "c", "child": "d", "follows": False},
    ]
    assert schema_of(plain, tied).with_tied(frozenset("a")) == frozenset("abcd")
    assert schema_of(plain, tied).with_tied(frozenset("d")) == frozenset("cd")
    found = schema_of([*plain[:2], {"name": "c", "plain": False}, plain[3]], tied)
    assert found.plain == frozenset("d") and found.strange == frozenset("abc")


def test_the_end_of_a_transaction_that_locked_conflicts_with_everything() -> None:
    footprints = Footprints(Mock(), SCHEMA)

    def say(sql: str, step: int, session: tuple[str, int] = ("web-0", 1)) -> Footprint:
        flight = Flight(1, "T", step, sql=[sql])
        return footprints.of_flight(session, flight, read_committed=True)

    for locks in ("SELECT 1 FROM stock FOR UPDATE", "SELECT claim(1)", "COPY log FROM STDIN"):
        say(locks, 1)
        assert say("COMMIT", 2) == EVERYTHING, locks
    say("SELECT 1 FROM stock", 1)
    assert say("COMMIT", 2) == Footprint(), "a transaction that only read frees nothing"
    say("SELECT pg_try_advisory_lock($1)", 1)
    assert say("SELECT 1 FROM stock", 1).writes == {"(advisory)"}, "the session's lock outlives it"
    assert say("SELECT 1 FROM stock", 1, ("web-0", 2)).writes == set()
