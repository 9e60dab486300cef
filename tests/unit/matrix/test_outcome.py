"""What a matrix comes to: its exit status, its tiles, its words, its files."""

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from results.charts.matrix import Tile, draw_heat_map
from results.charts.price import PriceFigures, price_figures
from results.latency import Latency
from results.verdict import Validity, Verdict
from scenarios.engine.cells import Cell, CellResult, append_result, read_results
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.expected import Expectation, Expected
from scenarios.engine.matrix import MatrixPlan
from scenarios.engine.matrix_show import markdown, show, write_outputs
from scenarios.engine.outcome import Outcome, weigh
from scenarios.engine.scenario import Scenario

VALID, INVALID, UNKNOWN = Validity.VALID, Validity.INVALID, Validity.UNKNOWN
EVIL = "</details><script>alert(1)</script>|[x](http://127.0.0.1:9/)"
TABLE = Expected(
    {
        ("article", "storm", ""): Expectation(frozenset({"A1"}), frozenset({"A8"})),
        ("insert_first", "storm", ""): Expectation(),
    }
)


def plan(tmp_path: Path, **changes: object) -> MatrixPlan:
    values: dict[str, object] = {
        "strategies": ("article", "insert_first"),
        "scenarios": {"storm": ("storm", Scenario(title="t"))},
        "providers": ("honours",),
        "seeds": (1,),
        "config_path": OWN_CONFIG,
        "config": load_config(OWN_CONFIG),
        "runs": tmp_path,
        "jobs": 1,
        "expected": TABLE,
    }
    return MatrixPlan(**{**values, **changes})  # type: ignore[arg-type]


def result(
    strategy: str, validity: Validity, codes: str = "", *, seed: int = 1, run: str = "",
    scenario: str = "storm", sentence: str = "s",
) -> CellResult:  # fmt: skip
    return CellResult(
        cell=Cell(strategy=strategy, scenario=scenario, provider="honours", seed=seed),
        validity=validity, sentence=sentence, totals=dict.fromkeys(codes.split(), 24),
        causes=("late-generator", "no-overlap") if validity is UNKNOWN else (), exposures=150,
        run=run,
    )  # fmt: skip


def weighed(tmp_path: Path, *results: CellResult, **changes: object) -> Outcome:
    return weigh(plan(tmp_path, **changes), tmp_path, results)


GUILTY, INNOCENT = (
    result("article", INVALID, "A1 A8", run="slot-0/x"),
    result("insert_first", VALID),
)


@pytest.mark.parametrize(
    ("cells", "status", "states"),
    [
        ((GUILTY, INNOCENT), 0, ["as expected", "as expected"]),
        ((result("article", VALID), INNOCENT), 1, ["differs", "as expected"]),
        ((GUILTY, result("insert_first", UNKNOWN)), 2, ["as expected", "unknown"]),
        ((result("article", VALID), result("insert_first", UNKNOWN)), 1, ["differs", "unknown"]),
        ((GUILTY, result("naive", INVALID, "A1")), 0, ["as expected", "not in the table"]),
        ((GUILTY, result("naive", UNKNOWN)), 2, ["as expected", "unknown"]),
    ],
)
def test_the_exit_status_is_of_the_worst_cell(
    tmp_path: Path, cells: tuple[CellResult, ...], status: int, states: list[str]
) -> None:
    outcome = weighed(tmp_path, *cells)
    assert outcome.exit_status == status
    assert [cell.state for cell in outcome.cells] == states


def test_seeds_share_a_tile_and_the_worst_of_them_names_it(tmp_path: Path) -> None:
    cells = (
        result("article", INVALID, "A8 A10", seed=1), result("article", INVALID, "A1", seed=2),
        result("article", VALID, seed=3),
        result("insert_first", VALID, seed=1), result("insert_first", VALID, seed=2),
        result("insert_first", VALID, seed=3),
    )  # fmt: skip
    tiles = weighed(tmp_path, *cells, seeds=(1, 2, 3)).tiles("honours")
    guilty, innocent = tiles["article", "storm"], tiles["insert_first", "storm"]
    assert guilty == Tile(validity=INVALID, words="A1 A8 A10 in 2 of 3", differs=True)
    assert innocent == Tile(validity=VALID, words="< 0.67%")  # 3 of 450 exposures
    doubtful = weighed(tmp_path, result("article", UNKNOWN), result("article", VALID, seed=2))
    assert doubtful.tiles("honours")["article", "storm"].words == "late-generator +1 in 1 of 2"


def test_the_title_says_who_kept_every_promise(tmp_path: Path) -> None:
    outcome = weighed(tmp_path, GUILTY, INNOCENT)
    assert outcome.title == "insert_first: kept every promise; article: broke a promise"
    assert outcome.counts == "2 cells: 2 as expected"
    open_one = weighed(tmp_path, GUILTY, INNOCENT, result("insert_first", UNKNOWN, seed=2))
    assert open_one.title == "article: broke a promise; insert_first: not proved"


def test_the_table_says_what_differs_and_where_the_report_is(tmp_path: Path) -> None:
    wrong = result("insert_first", INVALID, "A2", run="slot-1/y")
    out = io.StringIO()
    show(Console(file=out, width=200), tmp_path, weighed(tmp_path, GUILTY, wrong))
    text = out.getvalue()
    assert "✗ A1 A8" in text
    assert "✗ A2 ≠" in text
    assert ("≠ insert_first × storm (honours, seed 1): expected valid; invalid instead of valid; "
            "A2 was found 24 times and is not expected") in text  # fmt: skip
    assert str(tmp_path / "slot-0/x/report.html") in text
    assert "2 cells: 1 as expected, 1 differs" in text


def test_the_files_say_the_same_and_escape_what_came_from_outside(tmp_path: Path) -> None:
    scenarios = {EVIL: (EVIL, Scenario(title="t"))}
    guilty = result("article", INVALID, "A1", scenario=EVIL)
    doubtful = result("insert_first", UNKNOWN, scenario=EVIL, sentence=EVIL)
    outcome = weighed(tmp_path, guilty, doubtful, scenarios=scenarios)
    write_outputs(tmp_path, outcome)
    assert msgspec.json.decode((tmp_path / "matrix.json").read_bytes(), type=Outcome) == outcome
    assert "<script" not in markdown(outcome)
    rows = [line for line in markdown(outcome).splitlines() if line.startswith("|")]
    assert {row.replace(r"\|", "").count("|") for row in rows} == {3}
    for name in ("matrix.svg", "price.svg"):
        assert ET.parse(tmp_path / name).getroot().tag.endswith("svg")


def test_a_matrix_knows_what_each_of_its_strategies_costs(tmp_path: Path) -> None:
    measured = msgspec.structs.replace(GUILTY, p99_ms=10.0, ok_per_second=50.0)
    slower = msgspec.structs.replace(INNOCENT, p99_ms=20.0, ok_per_second=40.0)
    outcome = weighed(tmp_path, measured, slower)
    write_outputs(tmp_path, outcome)
    figures = msgspec.json.decode((tmp_path / "price.json").read_bytes(), type=PriceFigures)
    assert figures == price_figures(outcome.strategies, outcome.priced())
    assert [(one.strategy, one.p99_ratio, one.broken) for one in figures.prices] == [
        ("article", 1.0, True), ("insert_first", 2.0, False),
    ]  # fmt: skip


def test_a_cell_holds_what_its_verdict_measured() -> None:
    latency = Latency(ok=30, p99_ms=12.5, seconds=2.0)
    verdict = Verdict(
        run_id="r", scenario="storm", title="t", strategy="article", provider="honours", seed=1,
        validity=VALID, sentence="s", latency=latency,
    )  # fmt: skip
    cell = CellResult.of(GUILTY.cell, verdict, seconds=9.0, run="x")
    assert (cell.p99_ms, cell.ok_per_second) == (12.5, 15.0)


def test_the_heat_map_is_the_same_file_each_time(tmp_path: Path) -> None:
    tiles = {("a", "x"): Tile(validity=VALID, words="< 1%"),
             ("a", "y"): Tile(validity=INVALID, words="A1 A2 A3 A5 A8 A9 A14 A16", differs=True),
             ("b", "x"): Tile(validity=UNKNOWN, words="no-lost-acknowledgement")}  # fmt: skip
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (
        draw_heat_map(tmp_path / name, "t", ["a", "b"], ["x", "y"], {"p": tiles, "q": tiles})
        for name in ("one", "two")
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    drawn = one[1].read_text()
    assert {"#c62828", "#3b78c4", "#f0b440"} <= {part[:7] for part in drawn.split("fill: ")[1:]}
    assert all(sign in drawn for sign in "✓✗?≠")


def test_results_are_read_back_and_a_torn_line_is_run_again(tmp_path: Path) -> None:
    file = tmp_path / "cells.jsonl"
    assert read_results(file) == {}
    append_result(file, result("article", UNKNOWN))
    append_result(file, GUILTY)
    append_result(file, INNOCENT)
    file.write_bytes(file.read_bytes()[:-20])
    assert read_results(file) == {GUILTY.cell: GUILTY}


def test_the_folder_is_of_the_plan_and_of_the_service(tmp_path: Path) -> None:
    config = tmp_path / "service" / "onceproof.toml"
    config.parent.mkdir()
    config.write_text(OWN_CONFIG.read_text())
    (config.parent / "handler.py").write_text("1")
    (config.parent / "runs").mkdir()

    def folder(**changes: object) -> Path:
        return plan(tmp_path, config_path=config, **changes).folder()

    first = folder()
    assert first == folder(jobs=4, keep=True, fresh=True)
    assert first.parent == tmp_path.resolve()
    others = [
        folder(seeds=(2,)), folder(providers=("ignores",)), folder(strategies=("article",)),
        folder(scenarios={"storm": ("storm", Scenario(title="another"))}),
    ]  # fmt: skip
    (config.parent / "runs" / "report.html").write_text("made by a run")
    assert folder() == first
    (config.parent / "handler.py").write_text("12")
    assert len({first, *others, folder()}) == 6


@pytest.mark.parametrize("asked", [("honours", "ignores"), ("honours",)])
def test_a_scenario_with_a_provider_of_its_own_has_no_cell_with_another(
    tmp_path: Path, asked: tuple[str, ...]
) -> None:
    own = Scenario(title="t", provider="ignores")
    both = {"storm": ("storm", Scenario(title="t")), "own": ("own", own)}
    wanted = plan(tmp_path, strategies=("article",), scenarios=both, providers=asked)
    cells = [(cell.scenario, cell.provider) for cell in wanted.cells()]
    assert cells == [*(("storm", one) for one in asked), ("own", "ignores")]
    outcome = weigh(
        wanted, tmp_path,
        [CellResult(cell=cell, validity=VALID, sentence="") for cell in wanted.cells()],
    )  # fmt: skip
    assert outcome.providers == ("honours", "ignores")
    write_outputs(tmp_path, outcome)
    show(Console(file=io.StringIO()), tmp_path, outcome)
    honoured, ignored = markdown(outcome).split("### ")[1:3]
    assert "| article | ✓ ≠ |  |" in honoured
    assert ("| article |  | ✓ |" in ignored) is (asked == ("honours",))
