"""The matrix: every strategy under every scenario and provider, each cell a run of its own.

Cells run side by side in slots, as many as the machine's cores allow: a run that is starved of CPU
sends late and proves nothing. What ended is remembered at once, so a matrix that was cut short
goes on where it was; cells that proved nothing are run again. The folder is named by a hash of all
that decides the result (the plan, the scenarios, the service's description, and size and time of
every file of onceproof and beside onceproof.toml), so a changed handler never inherits the cells
of the one before. Limit: a service that lives elsewhere can change unseen; `--fresh` begins anew.

Disk: a run that differs from what was expected, or proved nothing, is kept whole; of any other one
only the small files are kept (`RunFolder.slim`), at once, so that each of a matrix's hundreds of
cells takes less than 1 MB. It ends before a disk is full, and goes on when it is called again.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cluster.lock import RunLock
from cluster.spawn import ROOT
from loadtests.schedule import EXTENSION_MAX
from results.errors import HarnessError
from results.expectation import State
from results.run_folder import RunFolder
from scenarios.engine.cells import RUN_FAILED, Cell, CellResult, append_result, read_results
from scenarios.engine.config import ServiceConfig
from scenarios.engine.disk import require_room
from scenarios.engine.expected import Expected
from scenarios.engine.plan import own_version
from scenarios.engine.scenario import Scenario
from scenarios.engine.slots import Slot, clean
from scenarios.engine.stand import Watch

MARGIN_SECONDS = 600.0  # beyond traffic and settling: start, last retries, report, a busy machine
FILES_MAX = 20_000
SKIPPED = ("__pycache__", "node_modules", "runs", "onceproof-runs")
CODE = ("service", "loadtests", "cluster", "scenarios", "results")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixPlan:
    """What is run, and how much of it at once."""

    strategies: tuple[str, ...]
    scenarios: dict[str, tuple[str, Scenario]]  # name -> as given (a name or a path), and read
    providers: tuple[str, ...]
    seeds: tuple[int, ...]
    config_path: Path
    config: ServiceConfig
    runs: Path
    jobs: int
    expected: Expected
    fresh: bool = False
    keep: bool = False  # all files of every run

    def cells(self) -> Iterator[Cell]:
        """Seed by seed: a first picture is whole early.

        A scenario with a provider of its own has cells of that one alone, whatever was asked.
        """
        for seed in self.seeds:
            for name, (_, scenario) in self.scenarios.items():
                providers = self.providers
                if scenario.provider and self.config.service.provider_from:
                    providers = (scenario.provider,)
                for strategy in self.strategies:
                    for provider in providers:
                        yield Cell(strategy=strategy, scenario=name, provider=provider, seed=seed)

    def shown_providers(self) -> tuple[str, ...]:
        """All that some cell has, in their order."""
        return tuple(dict.fromkeys(cell.provider for cell in self.cells()))

    def folder(self) -> Path:
        """`<runs>/matrix-<hash>`, the same for the same plan of the same code."""
        digest = hashlib.sha256()
        for part in (
            own_version(), repr(sorted(self.scenarios.items())), self.strategies, self.providers,
            self.seeds, msgspec.json.encode(self.config, enc_hook=str),
            *_files([self.config_path.resolve().parent, *(ROOT / name for name in CODE)]),
        ):  # fmt: skip
            digest.update(f"{part!r}\n".encode())
        return self.runs.resolve() / f"matrix-{digest.hexdigest()[:12]}"


async def run_matrix(plan: MatrixPlan, folder: Path, watch: Watch) -> list[CellResult]:
    """Run what has not been run yet; the results of all cells, in the plan's order."""
    with RunLock(folder, "matrix"):
        await clean(folder)
        file = folder / "cells.jsonl"
        if plan.fresh:
            file.unlink(missing_ok=True)
        results = read_results(file)
        _forget_runs(folder, results)
        todo = deque(cell for cell in plan.cells() if not _proved(results.get(cell)))
        if results:
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
            watch(f"an earlier call (until {since}) ran {len(results)} of the cells; those that "
                  "proved nothing are run again, --fresh begins anew")  # fmt: skip
        tally = _Tally(watch, len(todo), plan.jobs)
        try:
            async with asyncio.TaskGroup() as slots:
                for number in range(min(plan.jobs, len(todo))):
                    slot = Slot(folder, number, plan.config_path)
                    slots.create_task(_work(plan, slot, folder, todo, results, tally))
        finally:
            await clean(folder)
    found = [results[cell] for cell in plan.cells()]
    if all(RUN_FAILED in result.causes for result in found):
        raise HarnessError(
            f"Not one cell could be run. {found[0].sentence}. See `onceproof doctor`."
        )
    return found


async def _work(
    plan: MatrixPlan, slot: Slot, folder: Path, todo: deque[Cell],
    results: dict[Cell, CellResult], tally: "_Tally",
) -> None:  # fmt: skip
    """One slot: a cell after the other, until there are no more."""
    while todo:
        cell = todo.popleft()
        given, scenario = plan.scenarios[cell.scenario]
        traffic = scenario.traffic
        traffic_seconds = EXTENSION_MAX * traffic.orders / traffic.per_second
        limit_seconds = traffic_seconds + scenario.settle_seconds + MARGIN_SECONDS
        require_room(folder)
        tally.began(cell)
        result = await slot.run(cell, given, limit_seconds)
        settled = plan.expected.state_of(result) in (State.AS_EXPECTED, State.NOT_IN_TABLE)
        if settled and not plan.keep:
            RunFolder(folder / result.run).slim()
        append_result(folder / "cells.jsonl", result)
        if (earlier := results.get(cell)) and earlier.run:
            shutil.rmtree(folder / earlier.run, ignore_errors=True)
        results[cell] = result
        tally.ended(result)


class _Tally:
    """Tells how far the matrix is, and how long the rest may take."""

    def __init__(self, watch: Watch, total: int, jobs: int) -> None:
        self._watch = watch
        self._total = total
        self._jobs = jobs
        self._done = 0
        self._seconds = 0.0

    def began(self, cell: Cell) -> None:
        """A cell is being run from now on."""
        self._watch(f"{self._done} of {self._total} cells{self._left()} · running {cell.words}")

    def ended(self, result: CellResult) -> None:
        """A cell was run."""
        self._done += 1
        self._seconds += result.seconds
        what = " ".join(result.codes or result.causes)
        self._watch(
            f"{self._done} of {self._total} cells · {result.cell.words}: {result.validity.value}"
            f"{' ' if what else ''}{what}, {result.seconds:.0f} s"
        )

    def _left(self) -> str:
        if not self._done:
            return ""
        each = self._seconds / self._done
        minutes = each * (self._total - self._done) / self._jobs / 60
        return f", about {max(1, round(minutes))} min left"


def _proved(result: CellResult | None) -> bool:
    return result is not None and result.proved


def _forget_runs(folder: Path, results: dict[Cell, CellResult]) -> None:
    """Remove the runs that no result names: they were interrupted, or are of the time before."""
    kept = {folder / result.run for result in results.values() if result.run}
    for run in folder.glob("slot-*/*"):
        if run.is_dir() and not run.is_symlink() and run.name != ".locks" and run not in kept:
            shutil.rmtree(run)


def _files(folders: list[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of every file below; with too many of them, something never seen."""
    found: set[tuple[str, int, int]] = set()
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if name[0] != "." and name not in SKIPPED]
            for path in (Path(parent, name) for name in names):
                if path.is_file():
                    status = path.stat()
                    found.add((str(path), status.st_size, status.st_mtime_ns))
                if len(found) > FILES_MAX:
                    return [("too many files", len(found), time.time_ns())]
    return sorted(found)
