"""The benchmark of the wire: what it measures is exact, and what is not there is said."""

from pathlib import Path

import pytest

from cluster.journal import Journal
from results.benchmark import reached, unmeasured
from scenarios.engine.bench import wire
from scenarios.engine.bench.part import Ground
from scenarios.engine.bench.rounds import measure_part


async def test_without_pgbouncer_the_rest_is_measured_and_the_lack_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "pgbouncer", lambda: None)
    said: list[str] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        ground = Ground(folder=tmp_path, journal=journal, seed=1)
        report = await measure_part(wire.PART, ground, 1, 1, said.append)
    assert report.missing == ("PgBouncer is not installed: apt-get install pgbouncer",)
    by_peer = {sample.peer: sample for sample in report.samples}
    assert set(by_peer) == {"direct", "wire"}
    assert by_peer["wire"].wrong == ""
    assert by_peer["wire"].values["added_us"] > 0
    (memory,) = reached(report)
    assert memory.met  # a result of 1 GB passed
    assert len(unmeasured(report)) == 2


async def test_a_trace_that_lacks_a_statement_is_told(tmp_path: Path) -> None:
    (tmp_path / "wire.jsonl").write_bytes(wire.STATEMENT + b"\n" + wire.STATEMENT + b"\n")
    with Journal(tmp_path / "journal.jsonl") as journal:
        ground = Ground(folder=tmp_path, journal=journal, seed=1)
        through = wire.Through("wire", None, None, ground, None)  # type: ignore[arg-type]
        assert through._untraced(2) == ""
        assert through._untraced(3) == "3 round trips, 2 statements in the trace"
