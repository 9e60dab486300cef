import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from results.charts.kills import kill_figures
from results.interval import share_interval
from results.records import Evidence, FaultRecord, Stage
from tests.unit.results.world import World


def ended(kind: str, point: str, *, landed: bool | None, missing: tuple[str, ...] = ()) -> Any:
    return FaultRecord(
        fault_id="f", kind=kind, point=point, stage=Stage.EVIDENCE, at_ns=1,
        evidence=Evidence(facts={"landed_in_transaction": landed}, missing=missing),
    )  # fmt: skip


def test_each_way_is_counted_by_its_own_rule() -> None:
    bundle = World().bundle()
    manifest = msgspec.structs.replace(
        bundle.manifest, asked_faults={"crash:commit-dropped": 4, "crash:blind": 9}
    )
    records = (
        ended("crash", "commit-dropped", landed=None),
        ended("crash", "commit-dropped", landed=None),
        ended("crash", "commit-dropped", landed=None, missing=("eof: none",)),  # no proof
        ended("crash", "blind", landed=True),
        ended("crash", "blind", landed=False),
        ended("crash", "polled", landed=False),
        ended("crash", "polled", landed=None),  # nobody can tell: left out
        ended("graceful", "blind", landed=False),
        ended("freeze", "blind", landed=True),  # ends nothing
    )
    figures = kill_figures(replace(bundle, manifest=manifest, faults=records))
    assert figures is not None
    assert {way.name: (way.hits, way.ends) for way in figures.ways} == {
        "crash:commit-dropped": (2, 4),
        "crash:blind": (1, 2),
        "crash:polled": (0, 1),
        "graceful:blind": (0, 1),
    }
    assert figures.title == "Aimed crashes hit a transaction 2 of 4 times, others 1 of 4"


def test_a_run_that_ended_nobody_has_no_such_chart() -> None:
    assert kill_figures(World().bundle()) is None


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 30, 0.0, 0.1157),
        (30, 30, 0.8843, 1.0),
        (1, 20, 0.00127, 0.2487),
        (5, 10, 0.1871, 0.8129),
    ],
)
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(
    hits: int, count: int, low: float, high: float
) -> None:
    found = share_interval(hits, count)
    assert math.isclose(found[0], low, abs_tol=2e-4)
    assert math.isclose(found[1], high, abs_tol=2e-4)
