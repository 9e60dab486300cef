"""What a statement is taken to touch; whatever is not understood must conflict with everything."""

from unittest.mock import Mock

import pytest

from cluster.wire.flight import Flight
from scenarios.engine.explore.effect import Effect, independent
from scenarios.engine.explore.footprint import (
    ANY,
    EVERYTHING,
    PROVIDER,
    SEQUENCES,
    Footprint,
    Schema,
    footprint,
)
from scenarios.engine.explore.footprints import Footprints, schema_of

SCHEMA = Schema(
    frozenset({"orders", "stock", "log", "lines"}),
    strange=frozenset({"some_view"}),
    ties=frozenset({("lines", "orders"), ("orders", "lines")}),
)


def of(
    sql: str, *, publishes: bool = False, held: set[str] | None = None, read_committed: bool = True
) -> Footprint:
    return footprint(
        (sql,), publishes=publishes, held=frozenset(held or ()), read_committed=read_committed,
        schema=SCHEMA,
    )  # fmt: skip


def apart(one: Footprint, other: Footprint) -> bool:
    first, second = Effect.of(0, one), Effect.of(1, other)
    assert independent(first, second) is independent(second, first)
    return independent(first, second)


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("SELECT status FROM stock WHERE id = $1", {"stock"}, set()),
        ('SELECT 1 FROM "log" JOIN public.stock ON true', {"log", "stock"}, set()),
        ("SELECT 1 FROM orders", {"orders", "lines"}, set()),  # a child may be read with it
        ("SELECT 1 FROM stock FOR UPDATE", {"stock"}, {"stock"}),
        ("SELECT 1 FROM stock FOR NO KEY UPDATE SKIP LOCKED", {"stock"}, {"stock"}),
        ("UPDATE stock SET remaining = remaining - $1", set(), {"stock"}),
        ("INSERT INTO log (id) VALUES ($1) ON CONFLICT DO NOTHING", {SEQUENCES}, {"log"}),
        ("INSERT INTO lines (id) VALUES ($1)", {SEQUENCES}, {"lines", "orders"}),  # a foreign key
        ("INSERT INTO log SELECT id FROM stock", {"stock", SEQUENCES}, {"log"}),
        ("DELETE FROM log USING stock WHERE true", {"log", "stock"}, {"log"}),
        ("SELECT pg_advisory_xact_lock(hashtext($1))", set(), {"(advisory)"}),
        ("UPDATE log SET a = pg_try_advisory_xact_lock($1)", set(), {"(advisory)", "log"}),
        ("WITH x AS (UPDATE stock SET a = 1 RETURNING *) SELECT * FROM x", set(), {"stock"}),
        ("SELECT 1 FROM unnest($1) AS id JOIN log ON true", {"log"}, set()),
    ],
)
def test_what_is_understood(sql: str, reads: set[str], writes: set[str]) -> None:
    assert of(sql) == Footprint(frozenset(reads), frozenset(writes))


def test_a_number_of_a_sequence_is_taken_at_once() -> None:
    taken = of("INSERT INTO log (id) SELECT id FROM nextval('x') AS id")
    assert taken.ends == {SEQUENCES}
    assert not apart(taken, of("INSERT INTO stock (id) VALUES ($1)")), "its default may be the same"
    assert apart(taken, of("UPDATE stock SET a = 1"))


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


def test_what_is_published_and_freed() -> None:
    write = "UPDATE log SET a = 1"
    assert of(write, publishes=True) == Footprint(
        writes=frozenset({"log"}), ends=frozenset({"log"}), visible=True
    )
    assert of(write).ends == frozenset(), "within a transaction nothing is published yet"
    assert of("COMMIT", publishes=True, held={"log"}) == Footprint(
        ends=frozenset({"log"}), visible=True
    )
    assert of("ROLLBACK", held={"log"}) == Footprint(ends=frozenset({"log"}))
    assert of("COMMIT") == Footprint()
    assert of("BEGIN; UPDATE log SET a = 1; COMMIT", publishes=True).ends == {"log"}


def test_whoever_cannot_be_sure_says_everything() -> None:
    assert of("SELECT status FROM orders", read_committed=False) == EVERYTHING
    assert of("COMMIT", publishes=True, held={ANY}) == EVERYTHING
    assert of("ROLLBACK", held={ANY, "log"}) == EVERYTHING
    assert of("COMMIT", publishes=True) == EVERYTHING, "it wrote, and nobody knows where"


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
    assert apart(of(one), of(other)) is expected


def test_a_commit_matters_to_whoever_touches_what_it_publishes_and_to_what_is_visible() -> None:
    commit = of("COMMIT", publishes=True, held={"log"})
    assert not apart(commit, of("SELECT 1 FROM log"))
    assert not apart(commit, of("UPDATE log SET a = 1"))
    assert apart(commit, of("SELECT 1 FROM stock"))
    assert apart(commit, of("UPDATE stock SET a = 1"))
    assert not apart(commit, of("COMMIT", publishes=True, held={"stock"})), "both are seen"
    assert not apart(commit, PROVIDER)


def test_calls_of_the_provider_conflict_with_what_is_visible() -> None:
    assert not apart(PROVIDER, PROVIDER)
    assert apart(PROVIDER, of("UPDATE stock SET a = 1"))


def test_what_was_observed_of_a_move_counts() -> None:
    update = of("UPDATE stock SET a = 1")
    one, other = Effect.of(0, of("UPDATE log SET a = 1")), Effect.of(1, update)
    assert independent(one, other)
    one.waits = other.waits = True
    assert not independent(one, other), "two that wait may close a ring"
    other.waits = False
    one.failed(frozenset({"stock"}))
    assert not independent(one, other), "it has freed what the other wants"
    unblocks = Effect.of(0, of("COMMIT", held={"log"}))
    unblocks.add(1, of("UPDATE log SET a = 1"))
    assert not independent(unblocks, other), "the other is moved by both"


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


def test_the_end_of_a_transaction_frees_what_it_locked() -> None:
    footprints = Footprints(Mock(), SCHEMA)

    def say(sql: str, step: int, session: tuple[str, int] = ("web-0", 1)) -> Footprint:
        flight = Flight(1, "T", step, sql=[sql])
        return footprints.of_flight(session, flight, read_committed=True)

    for locks in ("SELECT 1 FROM stock FOR UPDATE", "SELECT claim(1)", "COPY log FROM STDIN"):
        say(locks, 1)
        ends = say("COMMIT", 2)
        assert ends == EVERYTHING or ends.ends == {"stock"}, locks
    say("SELECT 1 FROM stock", 1)
    assert say("COMMIT", 2) == Footprint(), "a transaction that only read frees nothing"
    say("SELECT pg_try_advisory_lock($1)", 1)
    outlives = say("SELECT 1 FROM stock", 1)
    assert outlives.writes == outlives.ends == {"(advisory)"}, "the session's lock outlives it"
    assert say("SELECT 1 FROM stock", 1, ("web-0", 2)).writes == set()
