"""The room of a run: refused without it, ended before it is gone, shown by doctor; slim folders."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.checker import judge
from results.errors import ConfigError, HarnessError
from results.run_folder import RunFolder
from scenarios.engine import disk
from scenarios.engine.catalog import load_scenario
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.disk import FREE_MIN_BYTES, RESERVE_BYTES, bounded, require_room
from scenarios.engine.plan import RunPlan, closing, open_folder
from scenarios.engine.show import write_outputs
from tests.unit.results.clean import clean
from tests.unit.results.world import write

ROOT = Path(__file__).resolve().parents[2]
NO_ROOM = (
    "import shutil\nshutil.disk_usage = lambda path: shutil._ntuple_diskusage(9, 8, 900 << 20)\n"
)


def plan_of(runs: Path) -> RunPlan:
    name, scenario = load_scenario("distinct_ids")
    return RunPlan(
        name=name, scenario=scenario, config=load_config(OWN_CONFIG), strategy="article",
        provider="honours", seed=1, runs=runs,
    )  # fmt: skip


def free(monkeypatch: pytest.MonkeyPatch, *amounts: int) -> None:
    """What is free, look by look, on one disk; the last amount stays."""
    left = list(amounts)
    monkeypatch.setattr(disk, "places", lambda runs: (("runs", runs),))
    monkeypatch.setattr(disk, "free_bytes", lambda _: left.pop(0) if len(left) > 1 else left[0])


def onceproof(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine with 900 MiB left."""
    (tmp_path / "sitecustomize.py").write_text(NO_ROOM)
    return subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip


def test_a_run_needs_room_to_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, FREE_MIN_BYTES)
    require_room(tmp_path)
    free(monkeypatch, FREE_MIN_BYTES - 1)
    with pytest.raises(HarnessError, match=r"Only 1023 MiB are free .* needs 1\.0 GiB .* --runs"):
        require_room(tmp_path)


def test_the_disk_of_a_folder_that_is_not_there_yet_is_its_parents(tmp_path: Path) -> None:
    assert disk.free_bytes(tmp_path / "not" / "yet") > 0
    assert disk.places(tmp_path)[0] == ("runs", tmp_path)


async def test_a_run_is_ended_while_there_is_room_to_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, RESERVE_BYTES, RESERVE_BYTES, RESERVE_BYTES - 1)
    plan = plan_of(tmp_path)
    folder = open_folder(plan)
    cleaned = []
    with pytest.raises(HarnessError, match=r"511 MiB are free .* proves nothing"):
        async with (
            asyncio.timeout(30), closing(folder), bounded(folder.path, look_seconds=0.01),
        ):  # fmt: skip
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(True)
    assert cleaned == [True]
    assert folder.read_manifest().status == "failed"
    assert judge(folder).exit_status == 2


async def test_one_run_may_not_write_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "RUN_MAX_BYTES", 2 << 20)
    monkeypatch.setattr(disk, "RESERVE_BYTES", 0)
    history = tmp_path / "history-0.jsonl"
    history.write_bytes(b"x" * (2 << 20))
    with pytest.raises(HarnessError, match="has reached 2 MiB"):
        async with asyncio.timeout(30), bounded(tmp_path, look_seconds=0.01):
            with history.open("ab") as file:
                file.write(b"x")
            await asyncio.Event().wait()


async def test_a_body_that_ends_by_itself_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, RESERVE_BYTES)
    async with bounded(tmp_path, look_seconds=0.001):
        await asyncio.sleep(0.02)
    with pytest.raises(ZeroDivisionError):
        async with bounded(tmp_path):
            raise ZeroDivisionError
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        async with bounded(tmp_path):
            task.cancel()
            await asyncio.Event().wait()
    task.uncancel()


@pytest.mark.parametrize("command", ["run", "matrix"])
def test_without_room_nothing_is_begun(tmp_path: Path, command: str) -> None:
    runs = tmp_path / "runs"
    picked = {"run": ["distinct_ids"], "matrix": ["--scenarios", "distinct_ids"]}[command]
    done = onceproof(tmp_path, command, *picked, "--runs", str(runs))
    assert (done.returncode, "Traceback" in done.stderr) == (255, False)
    assert f"Only 900 MiB are free on the disk of {runs}" in done.stderr
    assert not list(runs.glob("**/manifest.json"))
    assert not list(runs.glob("**/cells.jsonl"))


def test_doctor_shows_the_room(tmp_path: Path) -> None:
    done = onceproof(tmp_path, "doctor", "--json", "--runs", str(tmp_path / "runs"))
    assert done.returncode == 255
    disks = [one for one in json.loads(done.stdout) if one["what"] == "disk"]
    assert [one["ok"] for one in disks] == [False, False]
    assert f"900 MiB free for runs in {tmp_path / 'runs'} (1.0 GiB or more)" in disks[0]["detail"]


def test_a_slim_run_keeps_what_it_came_to_and_says_what_it_has_not(tmp_path: Path) -> None:
    folder = write(clean(3), tmp_path)
    verdict = judge(folder)
    write_outputs(folder, verdict)
    (folder.logs / "web-0.log").write_text("words")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    folder.slim()
    left = {path.name for path in folder.path.iterdir()}
    assert left == {"manifest.json", "verdict.json", "measures.json", "summary.md", "report.html",
                    "junit.xml", "journal.jsonl", "charts"}  # fmt: skip
    for name in left - {"manifest.json", "charts"}:
        assert (folder.path / name).read_bytes() == before[name]
    assert RunFolder.find(tmp_path).read_manifest().history_kept is False
    with pytest.raises(ConfigError, match="was not kept"):
        judge(folder)
    folder.slim()  # twice is once
    assert {path.name for path in folder.path.iterdir()} == left


@pytest.mark.parametrize("command", ["check", "report", "compare"])
def test_a_command_that_needs_the_history_says_that_it_was_not_kept(
    tmp_path: Path, command: str
) -> None:
    folder = write(clean(3), tmp_path)
    stored = judge(folder).to_json()
    folder.slim()
    twice = [str(folder.path)] * (2 if command == "compare" else 1)
    done = onceproof(tmp_path, command, *twice)
    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert f"The history of {folder.path.name} was not kept" in done.stderr
    assert "--keep" in done.stderr
    assert folder.verdict.read_bytes() == stored
