"""The runner is killed at every step of its journal; `heal` must leave nothing of the run."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from cluster import memory_group
from cluster.heal import heal
from cluster.journal import MARKER, read_journal
from cluster.lock import RunLock
from results.checker import judge
from results.footprint import Created
from results.records import FaultRecord, Stage
from results.run_folder import RunFolder
from results.verdict import Validity

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("killed_runner.py")
STEPS = 17  # 2 folders, 8 processes, 6 stages of the crash, 1 restart
CGROUP, INJECT = 14, 15  # of an OOM, after the folders, the processes and three stages


def of_run(run: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            ours = process.environ().get("ONCEPROOF_RUN") == str(run)
            marker = Path(process.cwd()).parent / MARKER  # a backend has no environment any more
            if ours or (marker.is_file() and marker.read_text() == str(run)):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def listening(processes: list[psutil.Process]) -> set[int]:
    ports = set()
    for process in processes:
        try:
            ports |= {c.laddr.port for c in process.net_connections("tcp") if c.status == "LISTEN"}
        except psutil.Error:
            continue
    return ports


def run_killed(runs: Path, step: int, when: str, kind: str = "crash") -> int:
    return subprocess.run(
        [sys.executable, str(RUNNER), str(runs), str(step), when, kind], cwd=ROOT, timeout=90,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
    ).returncode  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_heal_leaves_nothing_of_a_runner_killed_here(tmp_path: Path, step: int, when: str) -> None:
    assert run_killed(tmp_path, step, when) == -9
    nothing_is_left_after_heal(tmp_path)


@pytest.mark.parametrize(
    ("step", "when"), [(CGROUP, "after"), (INJECT, "before"), (INJECT, "after")]
)
def test_heal_leaves_nothing_of_a_runner_killed_in_an_oom(
    tmp_path: Path, step: int, when: str
) -> None:
    available, how = memory_group.available()
    if not available:
        pytest.skip(f"OOM WAS NOT TRIED: {how}")
    assert run_killed(tmp_path, step, when, "oom") == -9
    made = RunFolder.find(tmp_path).journal
    groups = [one.path for one in read_journal(made) if isinstance(one, Created)][2:]
    assert [Path(path).exists() for path in groups] == [step == INJECT]
    nothing_is_left_after_heal(tmp_path)


def nothing_is_left_after_heal(tmp_path: Path) -> None:
    folder = RunFolder.find(tmp_path)
    ports = listening(of_run(folder.path))

    report = asyncio.run(heal(tmp_path, run=None))

    assert report.healed, report
    assert not of_run(folder.path)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    records = read_journal(folder.journal)
    claimed = [Path(record.path) for record in records if isinstance(record, Created)]
    assert not [path for path in claimed if path.exists()]
    with RunLock(tmp_path, "local"):
        pass
    assert folder.read_manifest().status == "interrupted"
    verdict = judge(folder)
    assert verdict.validity is Validity.UNKNOWN
    assert "cut-short" in {doubt.cause for doubt in verdict.doubts}
    again = asyncio.run(heal(tmp_path, run=None))
    assert (again.ended, again.removed, again.wrong) == ([], [], [])


def test_the_steps_above_are_all_there_are(tmp_path: Path) -> None:
    assert run_killed(tmp_path, STEPS + 1, "before") == 0
    records = read_journal(RunFolder.find(tmp_path).journal)
    assert len(records) == STEPS
    stages = [record.stage for record in records if isinstance(record, FaultRecord)]
    assert stages == [Stage.ASKED, Stage.PARKED, Stage.INTENT, Stage.INJECT, Stage.EVIDENCE,
                      Stage.HEAL]  # fmt: skip


def test_the_folder_is_in_the_journal_before_it_is_on_the_disk(tmp_path: Path) -> None:
    def folders() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("onceproof-postgres-*"))

    assert run_killed(tmp_path, 1, "after") == -9
    (record,) = read_journal(RunFolder.find(tmp_path).journal)
    assert isinstance(record, Created)
    assert Path(record.path) not in folders()
