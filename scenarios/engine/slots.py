"""A slot of the matrix: a runs folder of its own, and at most one run in it at a time.

A cell is run by a child, `onceproof run … --json`, exactly as a user would: a run takes the lock
of its runs folder, so runs side by side need a folder each; and a run that fails takes nobody with
it. The child is a session of its own, so that a Ctrl-C at the terminal reaches the matrix alone,
which then interrupts its children and waits for them. All of them carry the matrix's folder in
their environment: whatever a matrix left behind that was killed is found by it.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import psutil

from cluster.heal import heal
from cluster.spawn import ROOT
from results.errors import ClusterError, ConfigError
from results.verdict import Verdict
from scenarios.engine.cells import Cell, CellResult
from scenarios.engine.exits import USAGE

MATRIX_VARIABLE = "ONCEPROOF_MATRIX"
GRACE_SECONDS = 30.0  # an interrupted run takes down its replicas and its Postgres
END_SECONDS = 5.0
# Not by a variable for Python's path: the service that the child starts would inherit it.
OURSELVES = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from scenarios.engine.cli import main; main()"
)


class Slot:
    """Runs one cell after another below `folder`/slot-`number`."""

    def __init__(self, folder: Path, number: int, config: Path) -> None:
        self._matrix = folder
        self._config = config
        self.runs = folder / f"slot-{number}"

    async def run(self, cell: Cell, scenario: str, limit_seconds: float) -> CellResult:
        """What came of a cell; ConfigError when the child says that the input is wrong."""
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OURSELVES, "run", scenario,
            "--strategy", cell.strategy, "--provider", cell.provider, "--seed", str(cell.seed),
            "--config", str(self._config), "--runs", str(self.runs), "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, MATRIX_VARIABLE: str(self._matrix)},
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit_seconds):
                output, errors = await process.communicate()
        except TimeoutError:
            why = f"it did not end within {limit_seconds:.0f} s"
            return CellResult.failed(cell, why, seconds=time.monotonic() - begun)
        finally:
            await _end(process)
        seconds = time.monotonic() - begun
        said = _last_words(errors.decode(errors="replace").strip())
        if process.returncode == USAGE:
            raise ConfigError(said.removeprefix("onceproof: "))
        verdict = _verdict(cell, output, process.returncode)
        if verdict is None:
            why = f"{said} (status {process.returncode})"
            return CellResult.failed(cell, why, seconds=seconds)
        run = str((self.runs / verdict.run_id).relative_to(self._matrix))
        return CellResult.of(cell, verdict, seconds=seconds, run=run)


def _last_words(said: str) -> str:
    """The child's last message, which may have several lines; else its last line."""
    _, ours, message = f"\n{said}".rpartition("\nonceproof: ")
    return f"onceproof: {message}" if ours else said.rpartition("\n")[2]


def slot_folders(runs: Path, matrix: str = "matrix-*") -> list[Path]:
    """The runs folders of one matrix, or of all of them, below a runs folder."""
    return sorted(runs.glob(f"{matrix}/slot-*"))


async def clean(folder: Path) -> None:
    """End what runs of this matrix are left, and heal their folders; ClusterError if any stays."""
    await asyncio.to_thread(_kill_all, str(folder))
    for runs in slot_folders(folder.parent, folder.name):
        report = await heal(runs, run=None)
        if not report.healed:
            raise ClusterError(
                f"An earlier run left something behind: {'; '.join(report.wrong)}. "
                f"Remove it, then try `onceproof heal --runs {runs}`."
            )


def _verdict(cell: Cell, output: bytes, status: int | None) -> Verdict | None:
    """The child's verdict; None unless it is of this cell and agrees with the exit status."""
    try:
        verdict = Verdict.from_json(output)
    except msgspec.DecodeError:
        return None
    same = (verdict.strategy, verdict.scenario, verdict.seed, verdict.exit_status) == (
        cell.strategy, cell.scenario, cell.seed, status,
    )  # fmt: skip
    return verdict if same and verdict.provider in (cell.provider, "none") else None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a child as Ctrl-C would; SIGKILL if it does not end in time.

    By SIGTERM: a matrix in the background of a script has children that are deaf to SIGINT.
    """
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()


def _kill_all(owner: str) -> None:
    """SIGKILL every process that carries this matrix in its environment, and wait for its end."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MATRIX_VARIABLE) == owner:
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=END_SECONDS)
