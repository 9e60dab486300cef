import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster import memory_group
from cluster.heal import heal
from cluster.journal import RUN_VARIABLE, Journal, read_journal
from cluster.memory_group import MemoryGroup
from results.footprint import BY_HAND, Created, Spawned

SHARED_MEMORY = Path("/dev/shm")
ROOT = Path(__file__).parents[3]
RUNNER = Path(__file__).parent / "heal_runner.py"

memory_groups, how = memory_group.available()
needs_memory_group = pytest.mark.skipif(not memory_groups, reason=f"OOM WAS NOT TRIED: {how}")


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def of_run(owner: Path, folder: Path) -> list[int]:
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(folder)
            if inside or process.environ().get(RUN_VARIABLE) == str(owner):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def started(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


async def test_nothing_is_left_of_a_run_whose_runner_was_killed(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "20261124-120000-test"
    runner = started(str(RUNNER), str(run))
    try:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"started\n"
        living = await heal(run.parent, run=None)
        assert living.alive == [run.name]
        assert living.ended == []
    finally:
        runner.kill()
        runner.communicate()
    records = read_journal(run / "journal.jsonl")
    pids = [record.pid for record in records if isinstance(record, Spawned)]
    folders = [Path(record.path) for record in records if isinstance(record, Created)]
    assert len(pids) == 3
    assert all(alive(pid) for pid in pids)

    report = await heal(run.parent, run=None)

    assert report.healed, report.wrong
    assert len(report.ended) >= 3
    assert not any(alive(pid) for pid in pids)
    assert of_run(run, folders[0]) == []
    assert not folders[0].exists()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert manifest["a_newer_field"] == [1, 2]
    assert read_journal(run / "journal.jsonl") == records

    again = await heal(run.parent, run=run)
    assert (again.ended, again.removed, again.interrupted, again.wrong) == ([], [], [], [])


async def test_a_child_that_never_reached_the_journal_is_found(
    journal: Journal, tmp_path: Path
) -> None:
    sleeper = "import time; print('up', flush=True); time.sleep(99)"
    child = started("-c", sleeper, **{RUN_VARIABLE: journal.owner})
    manifest = {"status": "failed", "runner_pid": 1}
    (journal.path.parent / "manifest.json").write_text(json.dumps(manifest))
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        report = await heal(tmp_path, run=journal.path.parent)
        assert report.healed
        assert not alive(child.pid)
    finally:
        child.kill()
        child.communicate()


async def test_a_pid_that_is_another_process_now_is_left_alone(
    journal: Journal, tmp_path: Path
) -> None:
    stranger = started("-c", "import time; time.sleep(99)")
    try:
        journal.append(
            Spawned(
                name="web-0",
                pid=stranger.pid,
                created_at_seconds=time.time() - 3600,
                at_ns=time.monotonic_ns(),
            )
        )
        report = await heal(tmp_path, run=journal.path.parent)
        assert report.ended == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.communicate()


async def test_a_folder_without_the_runs_mark_is_reported_and_kept(
    journal: Journal, tmp_path: Path
) -> None:
    precious, claimed = tmp_path / "precious", tmp_path / "claimed"
    precious.mkdir()
    journal.create(claimed)
    for folder in (precious, claimed):
        (folder / "file").write_text("kept?")
    journal.append(Created(path=str(precious), at_ns=1))
    report = await heal(tmp_path, run=journal.path.parent)
    assert report.removed == [str(claimed)]
    assert (precious / "file").exists()
    assert not report.healed
    assert "precious" in report.wrong[0]


async def test_what_is_meant_to_stand_is_healed_by_its_name_alone(tmp_path: Path) -> None:
    folder = tmp_path / f"{BY_HAND}chaos-1"
    folder.mkdir()
    Journal(folder / "journal.jsonl").close()
    assert (await heal(tmp_path, run=None)).runs == []
    assert (await heal(tmp_path, run=folder)).runs == [folder.name]


async def test_a_broken_manifest_does_not_stop_the_healing(
    journal: Journal, tmp_path: Path
) -> None:
    claimed = tmp_path / "claimed"
    journal.create(claimed)
    (journal.path.parent / "manifest.json").write_text('{"run_id": "tor')
    report = await heal(tmp_path, run=None)
    assert not claimed.exists()
    assert "manifest.json" in report.wrong[0]


@needs_memory_group
async def test_a_memory_cgroup_and_who_sits_in_it_are_gone(
    journal: Journal, tmp_path: Path
) -> None:
    victim = started("-c", "import time; print('up', flush=True); time.sleep(99)")
    try:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"up\n"
        journal.spawned("web-0", victim.pid)
        group = MemoryGroup.create(journal, "fault-0")
        group.take(victim.pid)
        assert str(victim.pid) in (group.folder / "cgroup.procs").read_text().split()
        report = await heal(tmp_path, run=journal.path.parent)
        assert report.healed, report.wrong
        assert report.removed == [str(group.folder)]
        assert not group.folder.exists()
        assert not alive(victim.pid)
        again = await heal(tmp_path, run=journal.path.parent)
        assert (again.removed, again.wrong) == ([], [])
    finally:
        victim.kill()
        victim.communicate()


@needs_memory_group
async def test_a_memory_cgroup_of_another_run_is_reported_and_kept(
    journal: Journal, tmp_path: Path
) -> None:
    with Journal(tmp_path / "another" / "journal.jsonl") as another:
        theirs = MemoryGroup.create(another, "fault-0")
    try:
        journal.append(Created(path=str(theirs.folder), at_ns=1))
        report = await heal(tmp_path, run=journal.path.parent)
        assert theirs.folder.exists()
        assert "no mark" in report.wrong[0]
    finally:
        assert theirs.remove()


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="shared memory has no folder here")
def test_what_libfaketime_leaves_of_a_killed_replica_is_removed(
    journal: Journal, tmp_path: Path
) -> None:
    dead, stranger = started("-c", ""), started("-c", "import time; time.sleep(99)")
    dead.communicate()
    left, kept = (SHARED_MEMORY / f"faketime_shm_{one.pid}" for one in (dead, stranger))
    try:
        for process, file in ((dead, left), (stranger, kept)):
            file.touch()
            journal.append(Spawned(name="web-0", pid=process.pid, created_at_seconds=1.0, at_ns=1))
        asyncio.run(heal(tmp_path, run=journal.path.parent))
        assert not left.exists()
        assert kept.exists()
    finally:
        stranger.kill()
        stranger.communicate()
        for file in (left, kept):
            file.unlink(missing_ok=True)
