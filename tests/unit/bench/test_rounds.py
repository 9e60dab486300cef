"""Rounds: every peer once a round, an order that the seed decides, ratios inside a round only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cluster.journal import Journal
from results.benchmark import BenchmarkReport, PartReport, Target, markdown, reached, unmeasured
from results.charts.benchmark import benchmark_figures
from results.charts.style import paint
from scenarios.engine.bench.part import Ground, Measured, Peers
from scenarios.engine.bench.rounds import measure_part
from scenarios.engine.bench.show import status

FAST, SLOW = "fast", "slow"
TWICE = Target(what="twice", value=(FAST, "per_second"), over=(SLOW, "per_second"), at_least=2)
BRIEF = Target(what="brief", value=(FAST, "p99_ms"), at_most=10)
ABSENT = Target(what="absent", value=("nobody", "per_second"), over=(FAST, "per_second"), at_most=1)


@dataclass
class Scripted:
    name: str
    figures: list[float]
    log: list[str]
    wrong: str = ""

    async def measure(self, seconds: float) -> Measured:
        self.log.append(self.name)
        assert seconds == 0.1
        value = self.figures.pop(0)
        return Measured({"per_second": value, "p99_ms": 1000 / value}, wrong=self.wrong)


@dataclass
class Play:
    peers: list[Scripted]
    targets: tuple[Target, ...] = (TWICE, BRIEF, ABSENT)
    name: str = "play"
    title: str = "a play"
    closed: list[bool] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, _ground: Ground) -> AsyncIterator[Peers]:
        yield Peers(self.peers, ["nobody: not here; install it"])
        self.closed.append(True)


async def played(folder: Path, seed: int, *, wrong: str = "") -> tuple[PartReport, list[str]]:
    log: list[str] = []
    # The machine slows down in the second round: a ratio across rounds would say 8 or 0.5.
    play = Play([Scripted(FAST, [400, 100, 400], log, wrong), Scripted(SLOW, [100, 50, 200], log)])
    journal = Journal(folder / "journal.jsonl")
    said: list[str] = []
    ground = Ground(folder=folder, journal=journal, seed=seed)
    report = await measure_part(play, ground, 3, 0.1, said.append)
    journal.close()
    assert play.closed == [True]
    assert "play: round 1 of 3, fast" in said
    return report, log


async def test_ratios_are_taken_inside_a_round(tmp_path: Path) -> None:
    report, _ = await played(tmp_path, 1)
    twice, brief = reached(report)
    assert (twice.median, twice.low, twice.high, twice.rounds) == (2.0, 2.0, 4.0, 3)
    assert twice.met
    assert (brief.median, brief.high) == (2.5, 10.0)
    assert unmeasured(report) == [ABSENT]


async def test_a_round_in_which_nothing_was_done_counts(tmp_path: Path) -> None:
    report, _ = await played(tmp_path, 1)
    first, *others = report.samples
    nothing = msgspec.structs.replace(first, values={"per_second": 0.0, "p99_ms": 0.0})
    twice, brief = reached(msgspec.structs.replace(report, samples=(nothing, *others)))
    assert (twice.low, twice.rounds) == (0.0, 3)
    assert brief.low == 0.0
    fewer = msgspec.structs.replace(report, samples=report.samples[:4])
    text = markdown(BenchmarkReport(seed=1, rounds=3, seconds=0.1, parts=(fewer,)))
    assert "| play | twice | ≥ 2 | 3 (2 to 4), 2 rounds | ✓ |" in text


async def test_each_peer_once_a_round_and_the_seed_decides_the_order(tmp_path: Path) -> None:
    orders = []
    for seed in (1, 1, *range(2, 12)):
        report, log = await played(tmp_path, seed)
        assert all(set(log[at : at + 2]) == {FAST, SLOW} for at in (0, 2, 4))
        assert [(one.round, one.peer) for one in report.samples] == [
            (at, name) for at in range(3) for name in (FAST, SLOW)
        ]
        orders.append(tuple(log))
    assert orders[0] == orders[1]
    assert len(set(orders)) > 2


async def test_inexact_work_is_told_and_never_passes(tmp_path: Path) -> None:
    right, _ = await played(tmp_path, 1)
    wrong, _ = await played(tmp_path, 1, wrong="one order too many")
    whole = BenchmarkReport(seed=1, rounds=3, seconds=0.1, parts=(right,))
    assert status(whole) == 2  # one target could not be measured
    complete = msgspec.structs.replace(right, targets=(TWICE, BRIEF))
    assert status(msgspec.structs.replace(whole, parts=(complete,))) == 0
    missed = msgspec.structs.replace(right, targets=(msgspec.structs.replace(TWICE, at_least=3),))
    assert status(msgspec.structs.replace(whole, parts=(missed,))) == 1
    inexact = msgspec.structs.replace(whole, parts=(wrong,))
    assert status(inexact) == 1
    text = markdown(inexact)
    assert "Not exact: fast: one order too many" in text
    assert "| play | twice | ≥ 2 | 2 (2 to 4) | ✓ |" in text
    assert "| play | absent | ≤ 1 | – | not measured |" in text
    assert "nobody: not here; install it" in text


async def test_the_chart_tells_the_same(tmp_path: Path) -> None:
    report, _ = await played(tmp_path, 1)
    figures = benchmark_figures(BenchmarkReport(seed=1, rounds=3, seconds=0.1, parts=(report,)))
    assert figures.title.startswith("2 of 2 targets met")
    twice, brief = figures.rows
    assert (twice.median, twice.low, twice.high) == (1.0, 1.0, 2.0)
    assert (brief.median, brief.low, brief.high) == (4.0, 1.0, 4.0)
    png, _ = paint(tmp_path, "bench", figures, salt="bench")
    assert png.stat().st_size > 5_000
