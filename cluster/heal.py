"""Finish what a dead runner left behind: processes, folders, a manifest that says "running".

For each run folder whose runner is gone, its journal is read from the end to the beginning: the
processes it names are thawed and killed, the folders and cgroups it names are removed. A pid
counts only with the start time that the journal has for it. Two more looks find what the journal
missed, since a runner can die between starting a child and writing it down: processes that carry
the run's folder in their environment, and processes that work inside one of its folders (a Postgres
backend overwrites its environment, and leads a process group of its own). What it deployed in a
cluster is deleted by its label.

Healing twice is healing once. Nothing stops it: what could not be done is listed in the report as
still wrong, and the rest is done all the same. Nobody is healed while the runner lives, and a
healed fault proves nothing: no evidence is ever added here.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from cluster.family import all_gone, lives
from cluster.journal import MARKER, RUN_VARIABLE, Journal, read_journal
from cluster.kube.changes import left_changed, restore_left
from cluster.kube.heal import left_behind, remove_left_behind
from cluster.memory_group import group_of
from cluster.postgres_template import release_shared_memory
from cluster.skewed_clock import remove_shared_memory
from results.footprint import BY_HAND, Created, Spawned

_SAME_START_SECONDS = 0.05
_END_SECONDS = 5.0


@dataclass(slots=True)
class HealReport:
    """What was done; `wrong` is what a person has to look at."""

    runs: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)  # runs left alone: their runner lives
    ended: list[str] = field(default_factory=list)  # "postgres (pid 4711)"
    removed: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)  # manifests marked
    wrong: list[str] = field(default_factory=list)

    @property
    def healed(self) -> bool:
        """True when nothing is left behind."""
        return not self.wrong


async def heal(runs: Path, *, run: Path | None) -> HealReport:
    """Heal one run folder, or every one below `runs`; never raises for what it finds."""
    report = HealReport()
    for folder in await asyncio.to_thread(_heal, runs, run, report):
        await _heal_cluster(folder, report)
    return report


async def _heal_cluster(folder: Path, report: HealReport) -> None:
    """Undo what the run has changed in a cluster, and delete what it has left there."""
    records = read_journal(folder / "journal.jsonl")
    left, changed = left_behind(records), left_changed(records)
    if not left and not changed:
        return
    with Journal(folder / "journal.jsonl") as journal:
        for change in changed:
            restored, wrong = await restore_left(change, journal)
            report.removed += restored
            report.wrong += [wrong] if wrong else []
        for deployed in left:
            removed, wrong = await remove_left_behind(deployed, journal)
            report.removed += removed
            report.wrong += [wrong] if wrong else []


def _heal(runs: Path, run: Path | None, report: HealReport) -> list[Path]:
    """Heal what is on this machine; the folders whose runner is gone."""
    folders = [run] if run is not None else sorted(path.parent for path in _journals(runs))
    for folder in reversed(folders):  # names begin with the time: the newest first
        try:
            _heal_run(folder, report)
        except Exception as error:  # noqa: BLE001 - the other runs are healed all the same
            report.wrong.append(f"{folder}: {type(error).__name__}: {error}")
    return [folder for folder in reversed(folders) if folder.resolve().name in report.runs]


def _journals(runs: Path) -> list[Path]:
    # What `up` left is meant to stand; `latest` is a link to a folder listed by its own name.
    return [
        path
        for path in runs.glob("*/journal.jsonl")
        if not path.parent.is_symlink() and not path.parent.name.startswith(BY_HAND)
    ]


def _heal_run(folder: Path, report: HealReport) -> None:
    folder = folder.resolve()
    manifest = _read_manifest(folder, report)
    if _runner_lives(manifest):
        report.alive.append(folder.name)
        return
    report.runs.append(folder.name)
    records = read_journal(folder / "journal.jsonl")
    claimed = [Path(record.path) for record in records if isinstance(record, Created)]
    for record in reversed(records):
        if isinstance(record, Spawned):
            process = _same_process(record)
            if process is not None:
                _end_family(record.name, process, report)
            if process is not None or not psutil.pid_exists(record.pid):
                remove_shared_memory(record.pid)
    for process in _strays(str(folder), claimed):
        _end_family(_name(process), process, report)
    for path in reversed(claimed):
        _remove(path, str(folder), report)
    if manifest.get("status") == "running":
        _mark_interrupted(folder, manifest, report)


def _read_manifest(folder: Path, report: HealReport) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    try:
        manifest = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        report.wrong.append(f"{path} cannot be read: {error}")
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _runner_lives(manifest: dict[str, Any]) -> bool:
    """True when the runner's pid is taken by a process that is older than the manifest."""
    pid, wall_ns = manifest.get("runner_pid"), manifest.get("wall_ns")
    if manifest.get("status") != "running" or not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return not isinstance(wall_ns, int) or process.create_time() <= wall_ns / 1e9 + 1.0
    except psutil.Error:
        return False


def _same_process(record: Spawned) -> psutil.Process | None:
    """The journal's process, unless it ended or its pid is another's by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(record.pid)
        started = float(process.create_time())
        same = abs(started - record.created_at_seconds) <= _SAME_START_SECONDS
        if same and lives(process):
            return process
    return None


def _strays(owner: str, claimed: list[Path]) -> list[psutil.Process]:
    """Processes of the run by their environment, or by where they work."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if not lives(process):
                continue
            if process.environ().get(RUN_VARIABLE) == owner:
                found.append(process)
                continue
            working = Path(process.cwd())
            if any(working.is_relative_to(path) for path in claimed):
                found.append(process)
    return found


def _end_family(name: str, process: psutil.Process, report: HealReport) -> None:
    """SIGKILL a process, its group and all below it, and wait until they are gone."""
    family = [process]
    with contextlib.suppress(psutil.Error):
        family += process.children(recursive=True)
    with contextlib.suppress(OSError):
        if os.getpgid(process.pid) == process.pid:  # our children lead their own group
            os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                member.kill()  # a frozen process dies of SIGKILL, too
            except psutil.AccessDenied:
                report.wrong.append(f"{name} (pid {member.pid}) belongs to another user")
    if not all_gone(family, timeout_seconds=_END_SECONDS):
        report.wrong.append(f"{name} (pid {process.pid}) does not end")
    else:
        report.ended.append(f"{name} (pid {process.pid})")


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return "process"


def _remove(path: Path, owner: str, report: HealReport) -> None:
    """Remove a folder that the run claimed; anything else is left and reported."""
    if not path.exists():
        return
    if group := group_of(path, owner):  # its name is its mark: a cgroup holds no file of ours
        if group.remove():
            report.removed.append(str(path))
        else:
            report.wrong.append(f"{path} is a cgroup that could not be removed: try again")
        return
    try:
        marker = path / MARKER
        ours = marker.is_file() and marker.read_text(encoding="utf-8") == owner
        if path.is_symlink() or not (ours or not any(path.iterdir())):
            report.wrong.append(f"{path} has no mark of {owner}: remove it if it is yours")
            return
        release_shared_memory(path / "data")
        shutil.rmtree(path)
        report.removed.append(str(path))
    except OSError as error:
        report.wrong.append(f"{path} could not be removed: {error}")


def _mark_interrupted(folder: Path, manifest: dict[str, Any], report: HealReport) -> None:
    try:
        work = folder / "manifest.json.healing"
        changed = manifest | {"status": "interrupted"}
        work.write_bytes(msgspec.json.format(msgspec.json.encode(changed), indent=2))
        work.replace(folder / "manifest.json")
        report.interrupted.append(folder.name)
    except OSError as error:
        report.wrong.append(f"{folder / 'manifest.json'} could not be marked: {error}")
