"""A run judged from its columns gets the very verdict that its records give."""

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.bundle import Bundle
from results.checker import check
from results.columns import convert as conversion
from results.run_folder import RunFolder
from results.screen import judge as screening
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


def blind(bundle: Bundle) -> Bundle:
    """Without the wire, which makes a suspect of every order that it names."""
    manifest = msgspec.structs.replace(bundle.manifest, has_wire=False)
    return replace(bundle, manifest=manifest, statements=())


def same(folder: RunFolder) -> Verdict:
    """Judge it in both ways; the verdict of the columns."""
    plain = check(folder.load())
    screened = judge_columns(folder)
    assert screened is not None
    assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    return screened


def sorted_out(verdict: Verdict) -> object:
    """What of a verdict does not depend on which of two anomalies of one instant is first."""
    found = msgspec.to_builtins(verdict)
    found["anomalies"] = sorted(found["anomalies"], key=repr)
    return found


@pytest.fixture(params=["whole", "shards"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as one shard, once as several."""
    if request.param == "shards":
        monkeypatch.setattr(conversion, "SHARD_DELIVERIES", 5)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("name", DECLARED)
def test_a_planted_anomaly_is_found_in_columns(name: str, tmp_path: Path) -> None:
    assert set(same(write(planted(name), tmp_path)).totals) == DECLARED[name]
    same(write(blind(planted(name)), tmp_path))


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("name", INNOCENT)
def test_the_closest_innocent_histories_are_silent_in_columns(name: str, tmp_path: Path) -> None:
    world = clean_world(3)
    INNOCENT[name].change(world)
    world.end()
    assert set(same(write(world.bundle(), tmp_path)).totals) == INNOCENT[name].beside
    same(write(blind(world.bundle()), tmp_path))


ANY = settings(max_examples=200, deadline=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
SEEDS = st.integers(min_value=0, max_value=10**9)


@ANY
@given(SEEDS)
def test_any_history_is_judged_in_columns_as_it_is_in_records(tmp_path: Path, seed: int) -> None:
    same(write(blind(chaotic(seed)), tmp_path))


@ANY
@given(SEEDS)
def test_any_trace_is_judged_in_columns_as_it_is_in_records(tmp_path: Path, seed: int) -> None:
    same(write(chaotic(seed), tmp_path))


@ANY
@given(SEEDS)
def test_shards_and_batches_change_nothing(tmp_path: Path, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "SHARD_DELIVERIES", 4)
        patch.setattr(screening, "BATCH_ORDERS", 1)
        bundle = chaotic(seed)
        folder = write(bundle if seed % 2 else blind(bundle), tmp_path)
        screened = judge_columns(folder)
        assert screened is not None
        assert sorted_out(screened) == sorted_out(check(folder.load()))


@ANY
@given(SEEDS)
def test_clean_histories_are_valid_in_columns(tmp_path: Path, seed: int) -> None:
    assert same(write(clean(seed), tmp_path)).validity == "valid"
    same(write(blind(clean(seed)), tmp_path))


@ANY
@given(SEEDS)
def test_files_that_were_cut_or_garbled_are_judged_alike(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = write(blind(chaotic(seed)), tmp_path)
    for path in (folder.history(0), folder.witness, folder.ledger):
        content = path.read_bytes()
        if not content or chance.random() < 0.4:
            continue
        at = chance.randrange(len(content))
        match chance.randrange(3):
            case 0:
                path.write_bytes(content[:at])  # killed while it wrote
            case 1:
                path.write_bytes(content[:at] + b"\x00\n" + content[at:])
            case 2:
                at = content.rfind(b"\n", 0, at) + 1
                path.write_bytes(content[:at] + b"\n\n{}\r\n" + content[at:])
    plain, screened = check(folder.load()), judge_columns(folder)
    if screened is not None:  # None: it contradicts itself
        assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    else:
        assert "contradictory-history" in {doubt.cause for doubt in plain.doubts}


@pytest.mark.parametrize("name", sorted(path.name for path in STORED.iterdir() if path.is_dir()))
def test_a_stored_run_is_judged_alike(name: str, tmp_path: Path) -> None:
    same(unpack(STORED / name, tmp_path / "run"))
