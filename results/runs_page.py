"""One page of all that lies in a runs folder: a line a run, newest first, worst words in red.

Nothing is judged here: what stands in a run's manifest and verdict is shown. A folder without a
verdict was interrupted, is under way, or is an exploration, whose schedules are listed instead.
Matrices and benchmarks come first, each with its picture.

Limits: the newest thousand folders are shown, and the page says how many there are.
"""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from results.errors import OnceproofError
from results.report import TEMPLATES
from results.run_folder import RunFolder
from results.verdict import Verdict

FOLDERS_MAX = 1_000
VERDICT_MAX_BYTES = 16 << 20
PICTURES = ("matrix.svg", "price.svg", "bench.svg")


class RunRow(Struct, frozen=True, kw_only=True):
    """One run, as a line of the page."""

    name: str
    scenario: str
    strategy: str
    seed: int
    began: str  # UTC
    validity: str  # "valid", "invalid", "unknown"; "" without a verdict
    words: str
    links: tuple[tuple[str, str], ...]  # words, address below the page


class PictureRow(Struct, frozen=True, kw_only=True):
    """A matrix or a benchmark: its folder's name and its pictures."""

    name: str
    pictures: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def runs_page(runs: Path) -> str:
    """The page as HTML; links lead below `runs/`."""
    folders = sorted(
        (path for path in runs.glob("*") if path.is_dir() and not path.is_symlink()),
        key=lambda path: path.stat().st_mtime, reverse=True,
    )  # fmt: skip
    shown = folders[:FOLDERS_MAX]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    return environment.get_template("runs.html.j2").render(
        folder=str(runs),
        pictures=[one for path in shown if (one := picture_row(path))],
        runs=[row for path in shown if (row := run_row(path))],
        more=len(folders) - len(shown),
    )


def run_row(path: Path) -> RunRow | None:
    """The line of one folder; None: it is no run."""
    folder = RunFolder(path)
    if not folder.manifest.is_file():
        return None
    try:
        manifest = folder.read_manifest()
    except OnceproofError:
        return None
    verdict = _verdict(folder.verdict)
    files = [("report", folder.report), ("verdict.json", folder.verdict)]
    files += [(one.name, one) for one in sorted(path.glob("*.schedule.json"))]
    return RunRow(
        name=path.name,
        scenario=manifest.scenario,
        strategy=manifest.strategy,
        seed=manifest.seed,
        began=datetime.fromtimestamp(manifest.wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        validity=verdict.validity.value if verdict else "",
        words=verdict.sentence if verdict else "no verdict: under way, interrupted, or explored",
        links=_links(path, files),
    )


def picture_row(path: Path) -> PictureRow | None:
    """The line of a matrix or of a benchmark; None: it is neither."""
    pictures = [path / name for name in PICTURES if (path / name).is_file()]
    if not pictures:
        return None
    tables = [(one.name, one) for one in sorted(path.glob("*.md"))]
    return PictureRow(
        name=path.name,
        pictures=tuple(_address(one) for one in pictures),
        links=_links(path, tables),
    )


def _links(folder: Path, files: list[tuple[str, Path]]) -> tuple[tuple[str, str], ...]:
    return tuple((words, _address(file)) for words, file in files if file.is_file())


def _address(file: Path) -> str:
    return f"runs/{quote(file.parent.name)}/{quote(file.name)}"


def _verdict(file: Path) -> Verdict | None:
    try:
        if file.stat().st_size > VERDICT_MAX_BYTES:
            return None
        return msgspec.json.decode(file.read_bytes(), type=Verdict)
    except (OSError, msgspec.DecodeError):
        return None
