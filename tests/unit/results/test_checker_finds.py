"""Planted anomalies give exactly their declared set; any history agrees with the oracle."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.anomalies.catalogue import CATALOGUE
from results.bundle import Bundle
from results.checker import check
from results.records import Line, Outcome
from results.verdict import Validity
from tests.unit.results.oracle import oracle
from tests.unit.results.planted import (
    DECLARED,
    FIRST,
    ONE_LINE,
    QUERIES,
    SKUS,
    VICTIM,
    World,
    clean,
    planted,
)


def pairs(bundle: Bundle) -> set[tuple[str, int]]:
    return {(anomaly.code, anomaly.order_id) for anomaly in check(bundle).anomalies}


def by_oracle(bundle: Bundle) -> set[tuple[str, int]]:
    return oracle(
        bundle.manifest, bundle.intents, bundle.completions, bundle.calls, bundle.snapshots
    )


@pytest.mark.parametrize("name", DECLARED)
def test_a_planted_anomaly_gives_exactly_its_declared_set(name: str) -> None:
    verdict = check(planted(name))
    assert set(verdict.totals) == DECLARED[name]
    assert verdict.validity is Validity.INVALID
    assert verdict.exit_status == 1
    assert {anomaly.order_id for anomaly in verdict.anomalies} <= {VICTIM, 0}
    assert pairs(planted(name)) == by_oracle(planted(name))


def test_messages_name_the_order_and_the_numbers() -> None:
    (found,) = check(planted("A1")).by_code()["A1"]
    assert f"Order {VICTIM} was shipped 2 times" in found.message
    assert "25.0 ms after the first" in found.message
    (found,) = check(planted("A8")).by_code()["A8"]
    assert "2 movements of ONCE-001 (4 units, 2 ordered)" in found.message


def test_an_implied_anomaly_names_its_cause() -> None:
    verdict = check(planted("A1 by two rows"))
    assert {one.code: one.implied_by for one in verdict.anomalies} == {"A1": "", "A8": "A1"}


def test_every_code_is_either_judged_or_listed_as_not_judged() -> None:
    listed = {entry.code for entry in check(clean()).not_judged}
    assert listed == CATALOGUE.keys() - {"A1", "A2", "A3", "A5", "A8"}
    assert len(CATALOGUE) == 16


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_clean_histories_are_silent_and_valid(seed: int) -> None:
    verdict = check(clean(seed))
    assert verdict.anomalies == ()
    assert verdict.doubts == ()
    assert verdict.validity is Validity.VALID
    assert by_oracle(clean(seed)) == set()


def chaotic(seed: int) -> Bundle:
    """Anything may be anywhere: outcomes, shipments, states, leaks, undeclared queries."""
    chance = random.Random(seed)
    declared = tuple(name for name in QUERIES if chance.random() < 0.85)
    world = World(ledger_queries=declared)
    world.look(at_ms=0)
    at_ms = 10.0
    for step in range(chance.randint(1, 14)):
        order = FIRST + chance.randint(0, 3)
        at_ms += chance.uniform(1, 20)
        match chance.choice(["deliver", "deliver", "ship", "state", "state", "look", "leak"]):
            case "deliver":
                world.deliver(
                    order, at_ms=at_ms, copy=step, took_ms=chance.uniform(1, 40),
                    outcome=chance.choice([*Outcome, Outcome.OK, None]),
                    topic=chance.choice(["orders/paid", "orders/paid", "orders/create"]),
                    authentic=chance.random() < 0.9,
                )  # fmt: skip
            case "ship":
                world.ship(order, at_ms=at_ms, effect=chance.random() < 0.8)
            case "state":
                whole = chance.random() < 0.5
                world.hold_state(
                    order,
                    status="paid" if whole else chance.choice(["paid", "pending", None]),
                    rows=1 if whole else chance.randint(0, 2),
                    logs=1 if whole else chance.randint(0, 2),
                    movements=ONE_LINE if whole else chance.choice([
                        (), ONE_LINE * 2, (Line(sku=SKUS[1], quantity=1),),
                        (Line(sku=SKUS[0], quantity=1),) * 2,
                    ]),
                )  # fmt: skip
            case "look":
                world.look(at_ms=at_ms)
            case "leak":
                if chance.random() < 0.2:
                    world.leaked[chance.choice(SKUS)] = chance.randint(1, 3)
    world.end(at_ms=at_ms + chance.uniform(0, 60))
    return world.bundle()


@settings(max_examples=600, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_the_checker_agrees_with_the_oracle_on_any_history(seed: int) -> None:
    bundle = chaotic(seed)
    unjudged = {entry.code for entry in check(bundle).not_judged}
    assert pairs(bundle) == {pair for pair in by_oracle(bundle) if pair[0] not in unjudged}
    # An oracle that knows of no declared query finds nothing there either, so that "not judged"
    # can never hide something that could have been seen.
    assert not {code for code, _ in by_oracle(bundle)} & unjudged


def test_the_random_histories_reach_every_code() -> None:
    reached = {code for seed in range(300) for code, _ in by_oracle(chaotic(seed))}
    assert reached == {"A1", "A2", "A3", "A5", "A8"}
