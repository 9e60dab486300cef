"""The long history has what it says; the screen suspects whom it must, and nobody else."""

from pathlib import Path

import msgspec
import pytest

from results.checker import check, judge
from results.columns import layout
from results.columns.layout import TABLES, Columns
from results.run_folder import RunFolder
from results.screen.facts import Facts
from results.screen.judge import frame_of, judge_columns
from results.screen.shard import screen
from results.screen.tables import Tables
from scenarios.engine.bench import long_history
from scenarios.engine.bench.checker import wrong
from scenarios.engine.bench.judging import write_lines
from scenarios.engine.bench.long_history import FIRST, PLANTED, expected, write_history
from scenarios.engine.show import write_outputs

DELIVERIES, EVERY = 3_000, 150


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(long_history, "SHARD_DELIVERIES", 1_000)
    (tmp_path / "run").mkdir()
    return write_history(tmp_path / "run", DELIVERIES, EVERY, seed=4)


def facts_of(run: RunFolder) -> Facts:
    columns = Columns(run)
    meta = columns.read_meta()
    assert meta is not None
    return Facts(columns, meta, frame_of(run, meta))


def test_a_long_history_is_found_guilty_of_what_was_planted(run: RunFolder) -> None:
    verdict = judge_columns(run)
    assert verdict is not None
    assert verdict.totals == expected(DELIVERIES, EVERY)
    assert wrong(verdict.totals, expected(DELIVERIES, EVERY)) == ""
    assert wrong(verdict.totals, expected(DELIVERIES, 1_000)).startswith("A1: 10 instead of 2, ")
    assert [one.code for one in verdict.not_judged] == ["A13", "A14"]  # it has no wire


def test_its_records_give_the_same_verdict(run: RunFolder) -> None:
    screened = judge_columns(run)
    write_lines(run)
    plain = check(run.load())
    assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    assert Columns(run).read_meta() is None, "the files have changed since"
    again = judge_columns(run)
    assert msgspec.to_builtins(again) == msgspec.to_builtins(plain)


def test_nobody_is_suspected_without_need(run: RunFolder) -> None:
    facts = facts_of(run)
    suspects = {
        order - FIRST
        for shard in range(facts.meta.shards)
        for order in screen(facts, shard).suspects.to_list()
    }
    offsets = {place * 3 + 1 for place in range(len(PLANTED))}
    assert suspects == {order for order in range(DELIVERIES // 2) if order % EVERY in offsets}
    assert facts.meta.shards > 1


def test_rows_come_back_as_they_were_written(run: RunFolder, tmp_path: Path) -> None:
    columns = Columns(run)
    rows = Tables(*(columns.shard(table, 0) for table in TABLES))
    orders = rows.orders.head(3)
    assert rows.of(orders).orders.to_list() == orders.to_list()
    rows.write(tmp_path, "kept")
    assert Tables.kept(tmp_path, "kept").deliveries.equals(rows.deliveries)
    assert layout.TABLES.keys() == {"deliveries", "calls", "states"}


def test_its_report_has_cards_of_accused_orders_and_no_chart_of_all(run: RunFolder) -> None:
    verdict = judge(run)
    run.charts.mkdir()
    cards = write_outputs(run, verdict)
    assert cards
    assert any(step.text for step in cards[0].steps)
    assert {path.stem for path in run.charts.glob("*.png")} == {"counterexample"}
    assert run.report.exists()
    assert not run.measures.exists()
