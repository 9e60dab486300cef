"""`onceproof publish RESULT... --site DIR`: stored runs and matrices become a static site.

Nothing is run or judged here: what stands in `matrix.json` and `verdict.json` is what is published,
so a site can be made elsewhere than the runs, from the folders alone. A matrix brings its expected
table with it; a run that is given by itself was compared with nothing. The reference of a matrix's
latencies is its strategy that was named last, as it is the default of a run.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from results.checker import judge
from results.errors import ConfigError
from results.expectation import State
from results.measures import Measures, read_measures, take_measures
from results.run_folder import RunFolder
from results.site import URGENCY, Entry, MatrixPart, Publication, Table, Tile, write_site
from results.trend import TrendLine
from results.verdict import Validity, Verdict
from scenarios.engine.matrix_show import panel
from scenarios.engine.outcome import FORMAT_VERSION, JudgedCell, Outcome
from scenarios.engine.plan import own_version
from scenarios.engine.show import consoles

COMMIT = re.compile(r"[\w.+/-]{1,100}", re.ASCII)
GIT_SECONDS = 10.0


def publish_and_show(results: Sequence[str], site: Path, commit: str | None, runs: Path) -> int:
    """Publish, then say what was found, what changed and what was left out."""
    published = write_site(site, gather(results, checked(commit or head_commit()), runs))
    console, aside = consoles()
    console.print(Text(published.headline))
    for change in published.changes:
        console.print(Text(f"changed: {change.sentence}"), soft_wrap=True)
    for note in published.notes:
        aside.print(Text(f"note: {note}"), soft_wrap=True)
    console.print(Text(f"site: {published.index}"), soft_wrap=True)
    return 0


def gather(results: Sequence[str], commit: str, runs: Path) -> Publication:
    """Read every result; ConfigError for what is neither a run nor a whole matrix."""
    matrices: list[MatrixPart] = []
    entries: dict[object, Entry] = {}
    notes: list[str] = []
    for given in results:
        folder = find_result(given, runs)
        if (folder / "matrix.json").is_file():
            outcome = read_outcome(folder / "matrix.json")
            found = [cell_entry(folder, cell, outcome, commit) for cell in outcome.cells]
            matrices.append(matrix_part(folder, outcome))
        else:
            found = [run_entry(RunFolder(folder), commit)]
        for entry in found:
            if entries.pop(entry.line.cell, None):
                notes.append(f"{entry.line.words} was given more than once: the last one counts.")
            entries[entry.line.cell] = entry
    return Publication(
        commit=commit, onceproof=own_version(), matrices=tuple(matrices),
        entries=tuple(entries.values()), notes=tuple(notes),
    )  # fmt: skip


def find_result(given: str, runs: Path) -> Path:
    """The folder of a run or of a matrix, by its path or by its name below the runs folder."""
    for path in (Path(given), runs / given):
        if (path / "matrix.json").is_file() or (path / "manifest.json").is_file():
            return path.resolve()
        if (path / "cells.jsonl").is_file():
            raise ConfigError(
                f"The matrix {path} was not finished: it has no matrix.json. Run it again; it "
                "goes on where it was."
            )
    raise ConfigError(
        f"There is no run and no matrix {given!r}: neither manifest.json nor matrix.json in "
        f"{runs / given}. List {runs} to see what there is."
    )


def read_outcome(path: Path) -> Outcome:
    """Read a matrix.json; ConfigError when it is broken or of a newer format."""
    try:
        outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Run the matrix again.") from error
    if outcome.format_version > FORMAT_VERSION:
        raise ConfigError(
            f"{path} has format {outcome.format_version}, newer than {FORMAT_VERSION}. Publish it "
            "with the onceproof that wrote it."
        )
    return outcome


def cell_entry(folder: Path, cell: JudgedCell, outcome: Outcome, commit: str) -> Entry:
    """One cell of a matrix."""
    result = cell.result
    run = folder / result.run if result.run else None
    at, measures = _measured(run) if run else ("", None)
    made = datetime.fromtimestamp((folder / "matrix.json").stat().st_mtime, UTC)
    return Entry(
        line=TrendLine(
            commit=commit, at_utc=at or made.isoformat(timespec="seconds"),
            strategy=result.cell.strategy, scenario=result.cell.scenario,
            provider=result.cell.provider, seed=result.cell.seed, validity=result.validity,
            state=cell.state, expected=cell.expected, codes=result.totals, causes=result.causes,
            reference=outcome.strategies[-1] if outcome.strategies else "", **_figures(measures),
        ),
        run=run,
        words="; ".join(cell.differences) or result.sentence,
    )  # fmt: skip


def run_entry(folder: RunFolder, commit: str) -> Entry:
    """A run that was given by itself: nobody said what to expect of it."""
    try:
        verdict = Verdict.read(folder.verdict) if folder.verdict.exists() else judge(folder)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{folder.verdict} cannot be read: {error}. Judge the run again with `onceproof check`."
        ) from error
    at, measures = _measured(folder.path)
    unknown = verdict.validity is Validity.UNKNOWN
    return Entry(
        line=TrendLine(
            commit=commit, at_utc=at, strategy=verdict.strategy, scenario=verdict.scenario,
            provider=verdict.provider, seed=verdict.seed, validity=verdict.validity,
            state=State.UNKNOWN if unknown else State.NOT_IN_TABLE, codes=verdict.totals,
            causes=tuple(dict.fromkeys(doubt.cause for doubt in verdict.doubts)),
            **_figures(measures),
        ),
        run=folder.path,
        words=verdict.sentence,
    )  # fmt: skip


def matrix_part(folder: Path, outcome: Outcome) -> MatrixPart:
    """The finding of a matrix and a table for each provider."""
    return MatrixPart(
        title=outcome.title,
        counts=outcome.counts,
        tables=tuple(_table(folder, outcome, provider) for provider in outcome.providers),
        pictures=(folder / "matrix.png", folder / "matrix.svg"),
    )


def checked(commit: str) -> str:
    """ConfigError for what cannot be the name of a commit."""
    if not COMMIT.fullmatch(commit):
        raise ConfigError(f"There is no commit {commit!r}: give its hash with --commit.")
    return commit


def head_commit() -> str:
    """The commit of the checkout that the command was called in."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True,
            timeout=GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        raise ConfigError(
            "The commit that these results are of is not known here. Give it with --commit."
        ) from None
    return done.stdout.strip()


def _table(folder: Path, outcome: Outcome, provider: str) -> Table:
    tiles = outcome.tiles(provider)
    groups: dict[tuple[str, str], list[JudgedCell]] = defaultdict(list)
    for one in outcome.cells:
        if one.result.cell.provider == provider:
            groups[one.result.cell.strategy, one.result.cell.scenario].append(one)

    def tile(strategy: str, scenario: str) -> Tile | None:
        found = groups[strategy, scenario]
        if not found:
            return None
        first = min(found, key=lambda one: URGENCY.index(one.state))
        run = folder / first.result.run if first.result.run else None
        return Tile(text=tiles[strategy, scenario].text, state=first.state, run=run)

    return Table(
        title=panel(provider),
        columns=outcome.scenarios,
        rows=tuple(
            (strategy, tuple(tile(strategy, scenario) for scenario in outcome.scenarios))
            for strategy in outcome.strategies
        ),
    )


def _measured(run: Path) -> tuple[str, Measures | None]:
    """When a run began, and its figures; what is not there any more is left out."""
    folder, begun = RunFolder(run), ""
    try:
        begun = folder.read_manifest().started_utc
        return begun, read_measures(folder.measures) or take_measures(folder.load())
    except ConfigError:
        return begun, None


def _figures(measures: Measures | None) -> dict[str, Any]:
    if measures is None:
        return {}
    return {"p50": measures.p50, "p99": measures.p99,
            "deliveries_per_second": measures.deliveries_per_second}  # fmt: skip
