"""A cell of the matrix, what came of it, and the file that remembers it.

`cells.jsonl` has one line for each run that ended, appended with a single write(2), so that a
matrix that is cut short goes on where it was. The last line of a cell counts. A line that was torn
by a crash is dropped: its cell is run again.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from results.verdict import Validity, Verdict

RUN_FAILED = "run-failed"


class Cell(Struct, frozen=True, kw_only=True):
    """One run of the matrix."""

    strategy: str
    scenario: str
    provider: str
    seed: int

    @property
    def words(self) -> str:
        """`article × distinct_ids (honours, seed 1)`."""
        return f"{self.strategy} × {self.scenario} ({self.provider}, seed {self.seed})"


class CellResult(Struct, frozen=True, kw_only=True):
    """What came of a cell; `run` is its folder, below the matrix's own ("": none)."""

    cell: Cell
    validity: Validity
    sentence: str
    totals: dict[str, int] = field(default_factory=dict)  # code -> how many
    not_judged: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()  # of an unknown one
    exposures: int = 0
    p99_ms: float | None = None  # of acknowledged deliveries
    ok_per_second: float | None = None
    seconds: float = 0.0
    run: str = ""

    @property
    def proved(self) -> bool:
        """False for a cell that is worth another run: it proved nothing."""
        return self.validity is not Validity.UNKNOWN

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes found: A1 before A10."""
        return tuple(sorted(self.totals, key=lambda code: int(code[1:])))

    @classmethod
    def of(cls, cell: Cell, verdict: Verdict, *, seconds: float, run: str) -> "CellResult":
        """The part of a verdict that the matrix needs."""
        return cls(
            cell=cell,
            validity=verdict.validity,
            sentence=verdict.sentence,
            totals=verdict.totals,
            not_judged=tuple(item.code for item in verdict.not_judged),
            causes=tuple(dict.fromkeys(doubt.cause for doubt in verdict.doubts)),
            exposures=verdict.coverage.exposures,
            p99_ms=verdict.latency.p99_ms,
            ok_per_second=verdict.latency.ok_per_second,
            seconds=round(seconds, 1),
            run=run,
        )

    @classmethod
    def failed(cls, cell: Cell, why: str, *, seconds: float) -> "CellResult":
        """A run that ended without a verdict: unknown, and it says nothing of the service."""
        return cls(
            cell=cell,
            validity=Validity.UNKNOWN,
            sentence=f"The run failed: {why}",
            causes=(RUN_FAILED,),
            seconds=round(seconds, 1),
        )


def append_result(path: Path, result: CellResult) -> None:
    """Remember a result."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, msgspec.json.encode(result) + b"\n")
    finally:
        os.close(descriptor)


def read_results(path: Path) -> dict[Cell, CellResult]:
    """The last result of every cell; a file that is not there has none."""
    found: dict[Cell, CellResult] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().splitlines():
        try:
            result = msgspec.json.decode(line, type=CellResult)
        except msgspec.DecodeError:
            continue
        found[result.cell] = result
    return found
