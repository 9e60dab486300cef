"""A run is a folder of files; this names them, and reads and writes them tolerantly.

A run that was killed with -9 still has a folder, and its history so far is still judged: a torn
last line is dropped and noted, an unreadable line in the middle is noted with file and number.
Lines are appended with a single write(2), so a crash of the writer tears at most its last line.
The manifest and the `latest` link are replaced in one step: a reader never sees half of one.

A run may be reduced to its small files (`slim`): what it came to can be read and published from
then on, and whoever wants to judge it again is told that its history was not kept.
"""

import dataclasses
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from results.bundle import Bundle, Note
from results.errors import ConfigError, HarnessError
from results.footprint import Changed, Created, Deployed, Restored, Spawned, Undeployed
from results.records import (
    FORMAT_VERSION,
    Completion,
    ConnectionTrace,
    FaultRecord,
    GeneratorEnd,
    HoldTrace,
    Intent,
    Manifest,
    ProviderCall,
    ProviderReply,
    Record,
    Resources,
    Snapshot,
    StatementTrace,
)

HISTORY = Intent | Completion | GeneratorEnd
WITNESS = ProviderCall | ProviderReply
WIRE = StatementTrace | ConnectionTrace | HoldTrace
JOURNAL = Spawned | Created | Deployed | Undeployed | Changed | Restored | FaultRecord
SMALL = frozenset(
    {"manifest.json", "verdict.json", "measures.json", "summary.md", "report.html", "junit.xml",
     "journal.jsonl", "charts"}
)  # fmt: skip
"""What is left of a slim run: less than 1 MB of some 10 to 20."""
T = TypeVar("T", bound=Record)


class RunFolder:
    """The files of one run below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.witness = path / "witness.jsonl"
        self.wire = path / "wire.jsonl"
        self.ledger = path / "ledger.jsonl"
        self.journal = path / "journal.jsonl"
        self.resources = path / "resources.jsonl"
        self.verdict = path / "verdict.json"
        self.measures = path / "measures.json"
        self.report = path / "report.html"
        self.junit = path / "junit.xml"
        self.summary = path / "summary.md"
        self.charts = path / "charts"
        self.logs = path / "logs"

    @classmethod
    def create(cls, runs_root: Path, manifest: Manifest) -> "RunFolder":
        """Make `<utc>-<scenario>-<strategy>-<seed>`, its manifest, and point `latest` to it."""
        stamp = datetime.fromtimestamp(manifest.wall_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
        scenario = re.sub(r"[^A-Za-z0-9_]+", "-", Path(manifest.scenario).stem).strip("-")
        strategy = re.sub(r"[^A-Za-z0-9_]+", "-", manifest.strategy).strip("-")
        name = f"{stamp}-{scenario or 'run'}-{strategy or 'any'}-{manifest.seed}"
        try:
            runs_root.mkdir(parents=True, exist_ok=True)
            folder = cls(_make_unused(runs_root, name))
            folder.logs.mkdir()
            folder.write_manifest(msgspec.structs.replace(manifest, run_id=folder.path.name))
            _point_latest(runs_root, folder.path.name)
        except OSError as error:
            raise HarnessError(
                f"The run's folder could not be made below {runs_root}: {error}. "
                "Choose another one with --runs."
            ) from error
        return folder

    @classmethod
    def find(cls, runs_root: Path, name: str = "latest") -> "RunFolder":
        """An existing run, by its path or by its name below the root. ConfigError: no such run."""
        for path in (Path(name), runs_root / name):
            if (path / "manifest.json").is_file():
                return cls(path.resolve())
        raise ConfigError(
            f"There is no run {name!r}: no manifest.json in {runs_root / name}. "
            f"List {runs_root} to see the runs there are."
        )

    def history(self, worker: int) -> Path:
        """The file that one sending process writes."""
        return self.path / f"history-{worker}.jsonl"

    def histories(self) -> list[Path]:
        """The history files there are."""
        return sorted(self.path.glob("history-*.jsonl"))

    def read_manifest(self) -> Manifest:
        """ConfigError when it is missing, broken or from a newer format."""
        try:
            manifest = msgspec.json.decode(self.manifest.read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"{self.manifest} cannot be read: {error}. Give the folder of a run."
            ) from error
        if manifest.format_version > FORMAT_VERSION:
            raise ConfigError(
                f"{self.manifest} has format {manifest.format_version}, newer than "
                f"{FORMAT_VERSION}. Judge it with the onceproof that wrote it."
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace it in one step."""
        write_whole(self.manifest, msgspec.json.format(msgspec.json.encode(manifest)))

    def slim(self) -> None:
        """Remove all but the small files. The manifest says so first: nobody judges half a run."""
        self.write_manifest(msgspec.structs.replace(self.read_manifest(), history_kept=False))
        for path in self.path.iterdir():
            if path.name in SMALL:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def load(self, *, traffic_alone: bool = False) -> Bundle:
        """All records of the run; what could not be read is in the bundle's notes.

        `traffic_alone`: only what was sent and what was shipped, which is a small part of it.
        ConfigError where the history was not kept.
        """
        bundle = self.load_small(wire=not traffic_alone)
        notes: list[Note] = []
        histories = self.histories()
        history: list[Record] = []
        for path in histories:
            history += read_records(path, HISTORY, notes)
        witness = read_records(self.witness, WITNESS, notes)
        looks = [] if traffic_alone else read_records(self.ledger, Snapshot, notes)
        return dataclasses.replace(
            bundle,
            intents=_only(history, Intent),
            completions=_only(history, Completion),
            generator_ends=_only(history, GeneratorEnd),
            history_files=max(1, len(histories)),
            calls=_only(witness, ProviderCall),
            replies=_only(witness, ProviderReply),
            snapshots=_only(looks, Snapshot),
            notes=in_order((*notes, *bundle.notes)),
        )

    def load_small(self, *, wire: bool = True) -> Bundle:
        """The run without its orders: the manifest, the wire's trace, the journal, the resources.

        ConfigError where the history was not kept.
        """
        manifest = self.read_manifest()
        if not manifest.history_kept:
            raise ConfigError(
                f"The history of {self.path.name} was not kept: a matrix keeps those that differ "
                f"or prove nothing. Read {self.report}, or run the matrix with --keep."
            )
        notes: list[Note] = []
        trace = read_records(self.wire, WIRE, notes) if wire else []
        return Bundle(
            manifest=manifest,
            has_witness_file=self.witness.exists(),
            statements=_only(trace, StatementTrace),
            connections=_only(trace, ConnectionTrace),
            holds=_only(trace, HoldTrace),
            faults=_only(read_records(self.journal, JOURNAL, notes), FaultRecord),
            resources=_only(read_records(self.resources, Resources, []), Resources),
            notes=tuple(notes),
        )


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Notes by the file that they are of, in the order in which a reader wants to know."""
    files = ("history", "witness", "wire", "ledger", "journal")
    return tuple(
        sorted(notes, key=lambda note: [note.file.startswith(name) for name in files], reverse=True)
    )


def default_runs_root(start: Path | None = None) -> Path:
    """`results/runs` inside a checkout of onceproof, `onceproof-runs` below `start` elsewhere."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        try:
            project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        if project.get("project", {}).get("name") == "onceproof":
            return folder / "results" / "runs"
    return here / "onceproof-runs"


def append_line(path: Path, record: Record) -> None:
    """Append one record with a single write(2)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, msgspec.json.encode(record) + b"\n")
    finally:
        os.close(descriptor)


def read_records(path: Path, kinds: Any, notes: list[Note]) -> list[Record]:
    """The records of a file; a missing file has none. Lines that cannot be read go to `notes`."""
    decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(kinds)
    if not path.exists():
        return []
    with path.open("rb") as lines:
        return read_lines(lines, decoder, path.name, notes)


def read_lines(
    lines: Iterable[bytes],
    decoder: "msgspec.json.Decoder[T]",
    file: str,
    notes: list[Note],
    first: int = 1,
) -> list[T]:
    """The records of some lines, the first of which has that number in its file."""
    records: list[T] = []
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            records.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            torn = not line.endswith(b"\n")
            notes.append(Note(file=file, line=number, torn=torn, problem=str(error)))
    return records


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old one or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def _only(records: Sequence[Record], kind: type[T]) -> tuple[T, ...]:
    return tuple(record for record in records if isinstance(record, kind))


def _make_unused(root: Path, name: str) -> Path:
    """Two runs may start within one second: the later one gets a number behind its name."""
    for number in range(1, 1_000):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise OSError(f"a thousand runs are named {name}")


def _point_latest(root: Path, name: str) -> None:
    part = root / f".latest.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    part.symlink_to(name, target_is_directory=True)
    part.replace(root / "latest")
