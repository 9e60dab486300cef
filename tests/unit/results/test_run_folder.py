"""The run's folder: names, the `latest` link, torn and unreadable lines, verdict.json."""

import re
from pathlib import Path

import pytest

from results.checker import check, judge
from results.errors import ConfigError
from results.run_folder import RunFolder, append_line, default_runs_root
from results.verdict import ANOMALIES_MAX, Verdict
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.planted import DECLARED, planted
from tests.unit.results.world import FIRST, World, manifest_of, write


def test_a_folder_is_named_by_time_scenario_strategy_and_seed(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, manifest_of(scenario="./my/odd name.py"))
    assert folder.path.name == "20260102T030405Z-odd-name-insert_first-7"
    assert folder.read_manifest().run_id == folder.path.name
    assert folder.logs.is_dir()
    again = RunFolder.create(tmp_path, manifest_of(scenario="odd name"))
    assert again.path.name == f"{folder.path.name}-2"
    assert (tmp_path / "latest").resolve() == again.path
    assert RunFolder.find(tmp_path).path == again.path
    assert RunFolder.find(tmp_path, folder.path.name).path == folder.path
    assert RunFolder.find(tmp_path, str(folder.path)).path == folder.path


def test_a_run_that_does_not_exist_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run 'latest'"):
        RunFolder.find(tmp_path)


def test_a_broken_or_newer_manifest_is_a_config_error(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, manifest_of())
    folder.write_manifest(manifest_of(format_version=99))
    with pytest.raises(ConfigError, match="format 99"):
        folder.read_manifest()
    folder.manifest.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        judge(folder)


@pytest.mark.parametrize("name", DECLARED)
def test_a_folder_is_judged_like_its_bundle(tmp_path: Path, name: str) -> None:
    folder = write(planted(name), tmp_path)
    verdict = judge(folder)
    assert set(verdict.totals) == DECLARED[name]
    assert Verdict.read(folder.verdict) == verdict


def test_verdict_json_gives_the_same_verdict_back() -> None:
    for bundle in (clean(5), planted("A1 by two rows"), planted("A2", status="running")):
        verdict = check(bundle)
        assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_torn_last_line_is_dropped_and_noted(tmp_path: Path) -> None:
    folder = write(clean(2), tmp_path)
    content = folder.history(0).read_bytes()
    folder.history(0).write_bytes(content[:-9])
    bundle = folder.load()
    assert [(note.file, note.torn) for note in bundle.notes] == [("history-0.jsonl", True)]
    assert len(bundle.intents) == len(clean(2).intents)
    verdict = judge(folder)
    assert {doubt.cause for doubt in verdict.doubts} == {"cut-short", "unreadable-lines"}
    assert verdict.exit_status == 2


def test_an_unreadable_middle_line_is_noted_with_its_number(tmp_path: Path) -> None:
    folder = write(clean(2), tmp_path)
    lines = folder.witness.read_bytes().split(b"\n")
    lines[1] = b'{"record":"call","call_id":\xff'
    folder.witness.write_bytes(b"\n".join(lines))
    (note,) = folder.load().notes
    assert (note.file, note.line, note.torn) == ("witness.jsonl", 2, False)
    assert "witness.jsonl:2: unreadable line" in note.text
    assert "witness.jsonl:2" in judge(folder).doubts[0].message


def test_every_prefix_of_a_history_can_be_judged(tmp_path: Path) -> None:
    folder = write(clean(4), tmp_path)
    content = folder.history(0).read_bytes()
    for length in range(0, len(content), 97):
        folder.history(0).write_bytes(content[:length])
        verdict = judge(folder)
        assert verdict.exit_status == 2, length


def test_unknown_fields_of_a_newer_writer_are_ignored(tmp_path: Path) -> None:
    folder = write(clean(2), tmp_path)
    before = judge(folder)
    for path in (*folder.path.glob("*.jsonl"), folder.manifest):
        content = path.read_text()
        changed = re.sub(r'\{(?=\s*"(?:record|format_version)")', '{"new":[1],', content)
        changed = changed.replace('"sku"', '"size":3,"sku"')
        assert changed != content or path == folder.journal
        path.write_text(changed)
    assert judge(folder) == before
    assert before.exit_status == 0


@pytest.mark.parametrize("name", ["history-0", "witness", "wire", "ledger", "journal"])
def test_a_record_of_an_unknown_kind_is_noted_and_the_run_is_unknown(
    tmp_path: Path, name: str
) -> None:
    folder = write(clean(2), tmp_path)
    with (folder.path / f"{name}.jsonl").open("a") as file:
        file.write('{"record":"of-tomorrow","at_ns":1}\n')
    (note,) = folder.load().notes
    assert (note.file, note.torn) == (f"{name}.jsonl", False)
    verdict = judge(folder)
    assert {doubt.cause for doubt in verdict.doubts} == {"unreadable-lines"}
    assert verdict.exit_status == 2


def test_anomalies_are_capped_and_all_of_them_counted(tmp_path: Path) -> None:
    world = clean_world(0, orders=1, ledger_queries=())
    for number in range(ANOMALIES_MAX + 500):
        world.deliver(FIRST + 1_000 + number, at_ms=0)
        world.ship(FIRST + 1_000 + number, at_ms=number)
        world.ship(FIRST + 1_000 + number, at_ms=number + 1)
    world.end()
    verdict = judge(write(world.bundle(), tmp_path))
    assert len(verdict.anomalies) == len(verdict.by_code()["A1"]) == ANOMALIES_MAX
    assert verdict.totals == {"A1": ANOMALIES_MAX + 500}


def test_runs_go_into_the_checkout_or_below_the_working_folder(tmp_path: Path) -> None:
    assert default_runs_root(tmp_path) == tmp_path / "onceproof-runs"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert default_runs_root(tmp_path) == tmp_path / "onceproof-runs"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "onceproof"\n')
    (tmp_path / "deep").mkdir()
    assert default_runs_root(tmp_path / "deep") == tmp_path / "results" / "runs"


def test_append_line_adds_one_line(tmp_path: Path) -> None:
    world = World()
    world.deliver(FIRST, at_ms=1)
    for intent in world.intents * 2:
        append_line(tmp_path / "file", intent)
    assert len((tmp_path / "file").read_bytes().splitlines()) == 2


def test_the_traffic_alone_is_what_was_sent_and_what_was_shipped(tmp_path: Path) -> None:
    folder = write(clean(3), tmp_path)
    whole, part = folder.load(), folder.load(traffic_alone=True)
    assert part.history.by_order == whole.history.by_order
    assert part.effects == whole.effects
    assert whole.statements
    assert whole.snapshots
    assert part.statements == part.snapshots == ()
