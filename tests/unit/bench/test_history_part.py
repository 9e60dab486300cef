"""The benchmark of histories notices what is lost, and nothing is."""

from pathlib import Path

import msgspec
import pytest

from cluster.journal import Journal
from results.records import Completion, Outcome
from scenarios.engine.bench.history import Writer, missing
from scenarios.engine.bench.part import Ground

LINE = msgspec.json.encode(
    Completion(attempt_id="a", sent_ns=1, done_ns=2, outcome=Outcome.OK, status=200, error=None)
)


@pytest.mark.parametrize("writer", ["recorder", "book"])
async def test_kill_9_loses_nothing_that_was_written(tmp_path: Path, writer: str) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        ground = Ground(folder=tmp_path, journal=journal, seed=1)
        measured = await Writer(writer, writer, ground).measure(0.3)
    assert not measured.wrong
    assert measured.values["per_core_second"] > 0


def test_what_is_lost_or_broken_is_told(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(LINE + b"\n" + LINE + b"\n" + LINE[:20])
    assert missing(file, 2) == ""
    assert missing(file, 3) == "3 records were written, 2 are there"
    file.write_bytes(LINE + b"\n" + LINE[:20] + b"\n")
    assert "cannot be read" in missing(file, 2)
