"""Each rule finds what is planted for it, and is silent on what only looks like it."""

import msgspec
import pytest

from results.anomalies.catalogue import CATALOGUE
from results.lint.finding import REFUSED
from results.lint.rules import lint
from results.lint.traced import Catalogue, Traced, Unique
from tests.unit.lint.planted_traces import (
    ADVISORY,
    BEGIN,
    CHECK,
    CLAIM,
    COMMIT,
    DECIDE,
    KEYS,
    KNOWN,
    LOCK,
    LOG,
    MISSED,
    ORDER,
    PAY,
    PAY_PENDING,
    SHIP,
    UPSERT,
    Said,
    attempt,
    by_order,
    traced,
)

SERIALIZABLE = Said("BEGIN ISOLATION LEVEL SERIALIZABLE;", "BEGIN")
REPEATABLE = Said("BEGIN ISOLATION LEVEL REPEATABLE READ;", "BEGIN")
NO_KEYS = Catalogue()
ONE_SHIPMENT = Catalogue(unique=(Unique("shipments", frozenset({"order_id"})),))
SCANNED = msgspec.structs.replace(KEYS, scanned=frozenset({KNOWN.sql}))
STOCK = by_order("UPDATE stock SET remaining = 1 WHERE shop = $1 AND order_id = $2", "UPDATE 1")
SHARE = LOCK._replace(sql=LOCK.sql.replace("UPDATE", "SHARE"))
SESSION_LOCK = ADVISORY._replace(sql=ADVISORY.sql.replace("_xact", ""))
UNLOCKED = "read-then-write-without-lock"
NO_KEY = "no-unique-key-behind-dedupe-read"
DIFFERS = "dedupe-key-differs-between-copies"
CALL = "external-call-in-transaction"
EARLY = "reply-before-commit"
ROLLED_BACK = "commit-answered-by-rollback"
APART = "claim-committed-apart-from-work"
DEADLOCK = "lock-order-can-deadlock"
NOTHING_LOCKED = "for-update-matched-no-row"
IGNORED = "update-changed-no-row-and-was-ignored"
NOTHING_WRITTEN = "acknowledged-without-a-write"
SCAN = "sequential-scan-on-dedupe-key"
WEAK = "isolation-too-weak"

PAY_NONE, LOCK_NONE = PAY._replace(tag="UPDATE 0"), LOCK._replace(tag="SELECT 0")
FULFIL = Said("SELECT fulfil_paid_order($1, $2)", "SELECT 1", PAY.values)

PLANTED = [
    (UNLOCKED, traced(attempt([BEGIN, CHECK, PAY, COMMIT]))),
    (UNLOCKED, traced(attempt([CHECK, UPSERT]))),
    (UNLOCKED, traced(attempt([CHECK, REPEATABLE, PAY, COMMIT]))),  # a snapshot of its own
    (UNLOCKED, traced(attempt([BEGIN, ADVISORY, COMMIT, BEGIN, CHECK, PAY, COMMIT]))),
    (NO_KEY, traced(attempt([KNOWN, BEGIN, LOG, COMMIT]), catalogue=NO_KEYS)),
    (DIFFERS, traced(attempt([KNOWN, BEGIN, CHECK, PAY, LOG, COMMIT]), same=[KNOWN],
                     distinct=[KNOWN, BEGIN, CHECK, LOG, COMMIT])),
    (DIFFERS, traced(attempt([CLAIM, BEGIN, PAY, COMMIT]), same=[CLAIM],
                     distinct=[CLAIM, BEGIN, PAY, COMMIT])),
    (CALL, traced(attempt([BEGIN, PAY, COMMIT], calls=[25]))),
    (EARLY, traced(attempt([BEGIN, PAY, COMMIT], answered_after=2))),
    (ROLLED_BACK, traced(attempt([BEGIN, PAY, COMMIT._replace(tag="ROLLBACK")]))),
    (APART, traced(attempt([CLAIM, BEGIN, PAY, COMMIT]))),
    (APART, traced(attempt([PAY, SHIP]))),
    (DEADLOCK, traced(attempt([BEGIN, PAY, STOCK, COMMIT]), same=[BEGIN, STOCK, PAY, COMMIT])),
    (DEADLOCK, traced(attempt([BEGIN, SHARE, PAY, COMMIT]))),
    (NOTHING_LOCKED, traced(attempt([BEGIN, LOCK_NONE, UPSERT, COMMIT]), row="absent")),
    (IGNORED, traced(attempt([BEGIN, PAY_NONE, SHIP, COMMIT]), row="absent")),
    (NOTHING_WRITTEN, traced(attempt([BEGIN, MISSED, COMMIT]), row="absent")),
    (NOTHING_WRITTEN, traced(attempt([BEGIN, PAY_NONE, COMMIT]), row="absent")),
    (SCAN, traced(attempt([KNOWN, BEGIN, LOG, COMMIT]), catalogue=SCANNED)),
    (WEAK, traced(attempt([BEGIN, CHECK, SHIP, COMMIT]))),
    (WEAK, traced(attempt([REPEATABLE, CHECK, SHIP, COMMIT]))),
    (WEAK, traced(attempt([REPEATABLE, ADVISORY, CHECK, SHIP, COMMIT]))),  # an old snapshot
]  # fmt: skip

NEAR_MISSES = [
    (UNLOCKED, traced(attempt([BEGIN, CHECK, PAY_PENDING, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, CHECK, DECIDE, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, LOCK, PAY, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, ADVISORY, CHECK, PAY, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, LOCK, CHECK, PAY, COMMIT]))),
    (UNLOCKED, traced(attempt([SERIALIZABLE, CHECK, PAY, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, CHECK, PAY, COMMIT], isolation="serializable"))),
    (UNLOCKED, traced(attempt([BEGIN, CHECK, SHIP, COMMIT]))),
    (UNLOCKED, traced(attempt([BEGIN, LOCK_NONE, UPSERT, COMMIT]), row="absent")),
    (UNLOCKED, traced(attempt([SESSION_LOCK, CHECK, PAY]))),
    (NO_KEY, traced(attempt([KNOWN, BEGIN, LOG, COMMIT]))),
    (DIFFERS, traced(attempt([KNOWN, BEGIN, PAY, LOG, COMMIT]), same=[KNOWN], distinct=[KNOWN])),
    (DIFFERS, traced(attempt([KNOWN, BEGIN, LOCK, PAY, LOG, COMMIT]), same=[KNOWN],
                     distinct=[KNOWN, BEGIN, LOCK, COMMIT])),
    (CALL, traced(attempt([BEGIN, PAY, COMMIT], calls=[35]))),
    (CALL, traced(attempt([BEGIN, PAY, COMMIT], calls=[5]))),
    (CALL, traced(attempt([CHECK, PAY], calls=[15]))),
    (EARLY, traced(attempt([BEGIN, PAY, COMMIT]))),
    (EARLY, traced(attempt([BEGIN, PAY, COMMIT], answered_after=2, status=500))),
    (ROLLED_BACK, traced(attempt([BEGIN, PAY, COMMIT._replace(tag="ROLLBACK")], status=500))),
    (APART, traced(attempt([BEGIN, CLAIM, PAY, COMMIT]))),
    (APART, traced(attempt([CHECK, PAY]))),
    (DEADLOCK, traced(attempt([BEGIN, PAY, STOCK, COMMIT]), same=[BEGIN, PAY, STOCK, COMMIT])),
    (DEADLOCK, traced(attempt([BEGIN, PAY, STOCK, COMMIT]), same=[STOCK, PAY])),
    (DEADLOCK, traced(attempt([BEGIN, LOCK, PAY, COMMIT]))),
    (NOTHING_LOCKED, traced(attempt([BEGIN, LOCK, UPSERT, COMMIT]))),
    (NOTHING_LOCKED, traced(attempt([BEGIN, LOCK_NONE, DECIDE, COMMIT]), row="absent")),
    (NOTHING_LOCKED, traced(attempt([BEGIN, LOCK_NONE, COMMIT]), row="absent")),
    (IGNORED, traced(attempt([BEGIN, PAY_NONE, UPSERT, SHIP, COMMIT]), row="absent")),
    (IGNORED, traced(attempt([BEGIN, PAY_NONE, SHIP, COMMIT], status=500), row="absent")),
    (IGNORED, traced(attempt([BEGIN, PAY, SHIP, COMMIT]))),
    (NOTHING_WRITTEN, traced(attempt([FULFIL]))),
    (NOTHING_WRITTEN, traced(attempt([BEGIN, MISSED, COMMIT], status=404), row="absent")),
    (NOTHING_WRITTEN, traced(attempt([CHECK], calls=[15]))),
    (SCAN, traced(attempt([KNOWN, BEGIN, LOG, COMMIT]))),
    (WEAK, traced(attempt([SERIALIZABLE, CHECK, SHIP, COMMIT]))),
    (WEAK, traced(attempt([BEGIN, CHECK, PAY_PENDING, SHIP, COMMIT]))),
    (WEAK, traced(attempt([BEGIN, ADVISORY, CHECK, SHIP, COMMIT]))),
    (WEAK, traced(attempt([BEGIN, CHECK, SHIP, COMMIT]), catalogue=ONE_SHIPMENT)),
]  # fmt: skip


def rules_of(one: Traced) -> set[str]:
    return {finding.rule for finding in lint([one])}


@pytest.mark.parametrize(
    ("rule", "one"), PLANTED, ids=[f"{n}-{r}" for n, (r, _) in enumerate(PLANTED)]
)
def test_a_planted_fault_is_found(rule: str, one: Traced) -> None:
    found = [finding for finding in lint([one]) if finding.rule == rule]
    assert found
    for finding in found:
        assert finding.sql
        assert finding.rows == (one.row,)
        assert set(finding.predicted) <= {*CATALOGUE, REFUSED}
        assert finding.predicted or rule == SCAN


@pytest.mark.parametrize(
    ("rule", "one"), NEAR_MISSES, ids=[f"{n}-{r}" for n, (r, _) in enumerate(NEAR_MISSES)]
)
def test_what_only_looks_like_it_is_not(rule: str, one: Traced) -> None:
    assert rule not in rules_of(one)


def test_names_in_quotes_and_ids_in_the_text_are_read_alike() -> None:
    check = Said(
        f'SELECT "orders"."status" FROM "orders" WHERE ("orders"."id" = {ORDER})', "SELECT 1"
    )
    pay = Said(f'UPDATE "orders" SET "status" = \'‹4›\' WHERE "orders"."id" = {ORDER}', "UPDATE 1")
    asks = pay._replace(sql=f'{pay.sql} AND "orders"."status" = \'‹7›\'')

    assert UNLOCKED in rules_of(traced(attempt([BEGIN, check, pay, COMMIT])))
    assert UNLOCKED not in rules_of(traced(attempt([BEGIN, check, asks, COMMIT])))


def test_every_rule_has_both() -> None:
    assert {rule for rule, _ in PLANTED} == {rule for rule, _ in NEAR_MISSES}
    assert len({rule for rule, _ in PLANTED}) == 13


def test_one_finding_names_all_rows() -> None:
    both = [
        traced(attempt([BEGIN, CHECK, PAY, COMMIT])),
        traced(attempt([BEGIN, CHECK, PAY, COMMIT]), row="absent"),
    ]
    (finding,) = lint(both)
    assert finding.rows == ("present", "absent")
