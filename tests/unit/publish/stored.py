"""Stored results to publish: real run folders of planted histories, put together as a matrix."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from results.bundle import Bundle
from results.checker import judge
from results.expectation import State
from results.interval import Interval
from results.run_folder import RunFolder
from results.trend import TrendLine
from results.verdict import Validity
from scenarios.engine.cells import Cell, CellResult
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.expected import Expectation, Expected
from scenarios.engine.matrix import MatrixPlan
from scenarios.engine.matrix_show import write_outputs as write_matrix
from scenarios.engine.outcome import weigh
from scenarios.engine.scenario import Scenario
from scenarios.engine.show import write_outputs
from tests.unit.results.world import FIRST, World, write

GUILTY, RIGHT = Expectation(frozenset({"A1", "A8"}), frozenset({"A5"})), Expectation()
TABLE = Expected({("article", "storm", ""): GUILTY, ("insert_first", "storm", ""): RIGHT})


def innocent(strategy: str = "insert_first", **manifest: object) -> Bundle:
    """Valid, 8 ms a delivery."""
    return _world(strategy, **manifest).bundle()


def guilty(strategy: str = "article", **manifest: object) -> Bundle:
    """Ships every second order twice, 16 ms a delivery."""
    bundle = _world(strategy, twice=True, **manifest).bundle()
    slow = [replace(one, done_ns=one.done_ns + 8_000_000) for one in bundle.completions]
    return dataclasses.replace(bundle, completions=tuple(slow))


def _world(strategy: str, *, twice: bool = False, **manifest: object) -> World:
    world = World(**{"strategy": strategy, "scenario": "storm", "seed": 1, **manifest})
    world.look(at_ms=0)
    for number in range(40):
        order, at_ms = FIRST + number, 100.0 * (number + 1)
        world.settled_order(order, at_ms=at_ms)
        if twice and number % 2:
            world.hold_state(order, movements=world.lines_of(order) * 2, rows=2)
            world.ship(order, at_ms=at_ms + 30, key=f"row-{number}")
    world.end()
    return world


def stored_run(runs: Path, bundle: Bundle) -> RunFolder:
    """A run as `onceproof run` leaves it."""
    folder = write(bundle, runs)
    write_outputs(folder, judge(folder))
    return folder


def stored_matrix(
    folder: Path, cells: Mapping[str, Bundle | None], *, expected: Expected = TABLE,
    slim: bool = True,
) -> Path:  # fmt: skip
    """A matrix as `onceproof matrix` leaves it; None for a cell whose run failed."""
    plan = MatrixPlan(
        strategies=tuple(cells), scenarios={"storm": ("storm", Scenario(title="t"))},
        providers=("honours",), seeds=(1,), config_path=OWN_CONFIG,
        config=load_config(OWN_CONFIG), runs=folder.parent, jobs=1, expected=expected,
    )  # fmt: skip
    results = []
    for strategy, bundle in cells.items():
        cell = Cell(strategy=strategy, scenario="storm", provider="honours", seed=1)
        if bundle is None:
            results.append(CellResult.failed(cell, "no Postgres", seconds=1))
            continue
        run = stored_run(folder / "slot-0", bundle)
        verdict = judge(run)
        name = str(run.path.relative_to(folder))
        result = CellResult.of(cell, verdict, seconds=9, run=name)
        if slim and expected.state_of(result) is State.AS_EXPECTED:
            run.slim()
        results.append(result)
    folder.mkdir(parents=True, exist_ok=True)
    write_matrix(folder, weigh(plan, folder, results))
    return folder


def percentile(share: float, value_ms: float | None, *, open_end: bool = False) -> Interval:
    """Ten percent to each side."""
    if value_ms is None:
        return Interval(share=share, count=0, value_ms=None, low_ms=None, high_ms=None)
    high_ms = None if open_end else value_ms * 1.1
    return Interval(share=share, count=500, value_ms=value_ms, low_ms=value_ms * 0.9,
                    high_ms=high_ms)  # fmt: skip


def line(
    commit: str, strategy: str = "article", state: State = State.AS_EXPECTED, **changes: object
) -> TrendLine:
    """One line of a trend; valid unless said otherwise."""
    values: dict[str, object] = {
        "commit": commit, "at_utc": "2026-01-02T03:04:05+00:00", "strategy": strategy,
        "scenario": "storm", "provider": "honours", "seed": 1, "validity": Validity.VALID,
        "state": state, "reference": "insert_first", "p50": percentile(0.5, 10.0),
        "p99": percentile(0.99, 40.0),
    }  # fmt: skip
    return TrendLine(**{**values, **changes})  # type: ignore[arg-type]
