"""The intent journal: what the runner did to the machine, on disk before the next thing happens.

It is the only file that is fsynced per record (0.1 to 0.3 ms each), because it must tell the truth
after the runner was killed: `onceproof heal` ends the processes and removes the folders it names,
and a fault whose INTENT is there without EVIDENCE is one that proved nothing. A crash of the runner
can tear the last line only, so the reader stops there; a broken line further up is not ours to
guess at and ends the reading as well.

A folder is claimed with a marker file that names the run. Healing removes a folder only if the
marker agrees, so a journal edited by hand cannot make it remove anything else.
"""

import os
import time
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil

from results.errors import HarnessError
from results.footprint import Changed, Created, Deployed, Restored, Spawned, Undeployed
from results.records import Evidence, FaultRecord, Stage

RUN_VARIABLE = "ONCEPROOF_RUN"
"""Every process of a run carries the path of its run folder in this environment variable.

The path, since an id is unique in one runs folder only: two may be made in one second.
"""

MARKER = ".onceproof-run"
"""The file in a claimed folder that holds the path of the run folder that may remove it."""

JournalRecord = Spawned | Created | Deployed | Undeployed | Changed | Restored | FaultRecord

_READ_LIMIT_BYTES = 64 * 1024 * 1024
_decoder = msgspec.json.Decoder(JournalRecord)


class Journal:
    """Appends records to one file, each fsynced before the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.owner = str(path.parent.resolve())  # the value of RUN_VARIABLE and MARKER
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file: int | None = os.open(path, flags, 0o644)
        _sync_folder(path.parent)

    def append(self, record: JournalRecord) -> None:
        """Write one record and wait until the disk has it."""
        if self._file is None:
            raise HarnessError(f"the journal {self.path} is closed: report this as a bug")
        line = memoryview(msgspec.json.encode(record) + b"\n")
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)

    def spawned(self, name: str, pid: int) -> Spawned:
        """Record a process of this run; with its start time, for a pid may be used again."""
        record = Spawned(
            name=name,
            pid=pid,
            created_at_seconds=created_at(pid),
            at_ns=time.monotonic_ns(),
        )
        self.append(record)
        return record

    def create(self, path: Path) -> Created:
        """Record a temporary folder of this run, then make it and mark it as ours.

        OSError when it cannot be made, FileExistsError when it is there already.
        """
        record = Created(path=str(path.absolute()), at_ns=time.monotonic_ns())
        self.append(record)
        path.mkdir(mode=0o700)
        (path / MARKER).write_text(self.owner, encoding="utf-8")
        return record

    def fault(
        self,
        *,
        fault_id: str,
        kind: str,
        point: str,
        stage: Stage,
        replica: str = "",
        detail: dict[str, Any] | None = None,
        evidence: Evidence | None = None,
    ) -> FaultRecord:
        """Record one stage of one fault, with the time of now."""
        record = FaultRecord(
            fault_id=fault_id,
            kind=kind,
            point=point,
            stage=stage,
            at_ns=time.monotonic_ns(),
            replica=replica,
            detail=detail or {},
            evidence=evidence,
        )
        self.append(record)
        return record

    def close(self) -> None:
        """Close the file; harmless when done twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path) -> list[JournalRecord]:
    """All records up to the first torn or foreign line; an absent file has none."""
    return read_journal_from(path, 0)[0]


def read_journal_from(path: Path, at_bytes: int) -> tuple[list[JournalRecord], int]:
    """The records from there on, up to such a line, and where the next one will begin."""
    records: list[JournalRecord] = []
    try:
        with path.open("rb") as file:
            file.seek(at_bytes)
            content = file.read(_READ_LIMIT_BYTES)
    except FileNotFoundError:
        return records, at_bytes
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            records.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        at_bytes += len(line)
    return records, at_bytes


def created_at(pid: int) -> float:
    """The start time of a process in seconds since 1970; 0.0 when it is gone already."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _sync_folder(folder: Path) -> None:
    """A new file survives a power cut only when its folder's entry is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
