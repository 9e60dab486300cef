"""A run judged from its columns gets the very verdict that its records give."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.bundle import Bundle
from results.checker import check
from results.run_folder import RunFolder
from results.screen.judge import judge_columns
from results.verdict import Verdict
from tests.store_run import STORED, unpack
from tests.unit.results import innocent_ledger, innocent_sender, innocent_wire
from tests.unit.results.chaotic import chaotic
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.innocent import INNOCENT
from tests.unit.results.planted import DECLARED, planted
from tests.unit.results.world import write

FILES = (innocent_ledger, innocent_sender, innocent_wire)


def same(folder: RunFolder) -> Verdict:
    """Judge it in both ways; the verdict of the columns."""
    plain = check(folder.load())
    screened = judge_columns(folder)
    assert screened is not None
    assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    return screened


@pytest.mark.parametrize("name", DECLARED)
def test_a_planted_anomaly_is_found_in_columns(name: str, tmp_path: Path) -> None:
    assert set(same(write(planted(name), tmp_path)).totals) == DECLARED[name]


@pytest.mark.parametrize("name", INNOCENT)
def test_the_closest_innocent_histories_are_silent_in_columns(name: str, tmp_path: Path) -> None:
    world = clean_world(3)
    INNOCENT[name].change(world)
    world.end()
    assert set(same(write(world.bundle(), tmp_path)).totals) == INNOCENT[name].beside


ANY = settings(max_examples=150, deadline=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
SEEDS = st.integers(min_value=0, max_value=10**9)


@ANY
@given(SEEDS)
def test_any_history_is_judged_in_columns_as_it_is_in_records(tmp_path: Path, seed: int) -> None:
    same(write(chaotic(seed), tmp_path))


@ANY
@given(SEEDS)
def test_clean_histories_are_valid_in_columns(tmp_path: Path, seed: int) -> None:
    assert same(write(clean(seed), tmp_path)).validity == "valid"
