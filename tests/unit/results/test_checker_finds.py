"""Planted anomalies give exactly their declared set; any history agrees with the oracle."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.anomalies import JUDGES
from results.anomalies.catalogue import CATALOGUE, IMPLIES
from results.bundle import Bundle
from results.checker import check
from results.verdict import Validity
from tests.unit.results.chaotic import chaotic
from tests.unit.results.clean import clean
from tests.unit.results.oracle import oracle
from tests.unit.results.planted import DECLARED, NEIGHBOUR, VICTIM, planted
from tests.unit.results.world import FIRST, World

DEFINITION = Path(__file__).parents[3] / "docs" / "exactly-once.md"


def found_in(bundle: Bundle) -> set[tuple[str, str, int]]:
    return {(one.code, one.shop, one.order_id) for one in check(bundle).anomalies}


@pytest.mark.parametrize("name", DECLARED)
def test_a_planted_anomaly_gives_exactly_its_declared_set(name: str) -> None:
    verdict = check(planted(name))
    assert set(verdict.totals) == DECLARED[name]
    assert verdict.validity is Validity.INVALID
    assert verdict.exit_status == 1
    assert {anomaly.order_id for anomaly in verdict.anomalies} <= {VICTIM, NEIGHBOUR, 0}
    assert found_in(planted(name)) == oracle(planted(name))
    assert name.split(maxsplit=1)[0] not in {entry.code for entry in verdict.not_judged}


@pytest.mark.parametrize("name", DECLARED)
def test_all_that_is_found_beside_an_anomaly_is_declared_as_its_consequence(name: str) -> None:
    explained = {name.split(maxsplit=1)[0]}
    for _ in IMPLIES:
        explained |= {code for cause in explained for code in IMPLIES.get(cause, ())}
    assert DECLARED[name] <= explained
    primary = {one.code for one in check(planted(name)).anomalies if not one.implied_by}
    assert primary == {name.split(maxsplit=1)[0]}


def test_no_anomaly_explains_itself_by_way_of_others() -> None:
    for code in IMPLIES:
        reached: set[str] = set(IMPLIES[code])
        for _ in IMPLIES:
            reached |= {further for one in reached for further in IMPLIES.get(one, ())}
        assert code not in reached


def test_an_implied_anomaly_names_its_cause() -> None:
    verdict = check(planted("A1 by two rows"))
    assert {one.code: one.implied_by for one in verdict.anomalies} == {"A1": "", "A8": "A1"}


def test_every_anomaly_is_defined_has_a_name_and_a_judge() -> None:
    defined = re.findall(r"^\| (A\d+) \| ([a-z-]+):", DEFINITION.read_text("utf-8"), re.MULTILINE)
    named = [(code, entry.name) for code, entry in CATALOGUE.items()]
    assert named == defined, "the catalogue is not what docs/exactly-once.md defines"
    assert [one.code for one in JUDGES] == list(CATALOGUE), "a file in results/anomalies each"
    assert {name.split(maxsplit=1)[0] for name in DECLARED} == set(CATALOGUE), "planted_*.py"


def test_every_code_is_judged_when_its_inputs_are_there() -> None:
    plain = World()  # no cancellation, no forged delivery, no death, and nothing is asked twice
    plain.settled_order(FIRST, at_ms=100)
    plain.end()
    listed = {entry.code for entry in check(plain.bundle()).not_judged}
    assert listed == {"A7", "A10", "A13", "A15", "A16", "A17"}


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_clean_histories_are_silent_and_valid(seed: int) -> None:
    verdict = check(clean(seed))
    assert verdict.anomalies == ()
    assert verdict.doubts == ()
    assert verdict.validity is Validity.VALID
    assert oracle(clean(seed)) == set()


@settings(max_examples=250, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_the_checker_agrees_with_the_oracle_on_any_history(seed: int) -> None:
    bundle = chaotic(seed)
    unjudged = {entry.code for entry in check(bundle).not_judged}
    expected = oracle(bundle)
    assert found_in(bundle) == expected
    # "Not judged" never hides something that could have been seen.
    assert not {code for code, _, _ in expected} & unjudged


def test_the_random_histories_reach_every_code() -> None:
    reached: set[str] = set()
    for seed in range(3_000):
        reached |= {code for code, _, _ in oracle(chaotic(seed))}
        if reached == set(CATALOGUE):
            return
    raise AssertionError(f"never reached: {sorted(set(CATALOGUE) - reached)}")
