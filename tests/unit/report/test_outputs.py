"""What `run`, `report` and `compare --charts` leave in folders: charts, and a report with them."""

from pathlib import Path

import msgspec
import pytest

from results.charts import CHARTS
from results.charts.percentiles import PercentilesFigures
from scenarios.engine.compare import compare_and_show
from scenarios.engine.show import report_again
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.world import write


def test_the_report_of_a_stored_run_is_written_again_with_all_its_charts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = clean_world(3)
    world.ship(world.intents[0].order_id, at_ms=300)
    world.end()
    folder = write(world.bundle(), tmp_path)
    assert report_again("latest", tmp_path) == 0
    assert str(folder.path) in capsys.readouterr().out.replace("\n", "")
    files = {path.name for path in folder.charts.iterdir()}
    assert files == {f"{chart}.{kind}" for chart in CHARTS for kind in ("png", "svg", "json")}
    assert folder.report.read_text().count('<svg role="img"') == len(CHARTS) - 1


def test_compare_draws_both_runs_where_it_is_asked_to_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    left, right = write(clean(3), runs), write(clean(5), runs)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    names = left.path.name, right.path.name
    compare_and_show(*names, runs, None, as_json=True)
    compare_and_show(*names, runs, tmp_path / "charts", as_json=True)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
    files = {path.name for path in (tmp_path / "charts").iterdir()}
    assert files == {f"percentiles.{kind}" for kind in ("png", "svg", "json")}
    figures = msgspec.json.decode(
        (tmp_path / "charts" / "percentiles.json").read_bytes(), type=PercentilesFigures
    )
    assert [(curve.name, curve.run_id) for curve in figures.curves] == [
        ("before", names[0]), ("after", names[1]),
    ]  # fmt: skip
    assert figures.curves[0].count < figures.curves[1].count
    assert capsys.readouterr().out
