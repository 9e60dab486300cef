"""Flat and growing runs are told apart, and the chart's numbers are those of the looks."""

from pathlib import Path

import msgspec
import pytest

from results.charts.resources import ResourceFigures, resource_figures, title
from results.charts.style import write
from results.growth import LOOKS_MIN, growth, not_flat
from results.records import Resources


def looks(count: int = 80, *, leak: float = 0.0, disk_leak: float = 0.0) -> list[Resources]:
    """One look every 2 seconds; `leak` is the growth a look, as a share of the first level."""
    return [
        Resources(
            at_ns=number * 2_000_000_000,
            memory_bytes={"web": int(1e8 * (1 + leak * number)), "wire": 40_000_000},
            open_files={"web": 60, "wire": 40},
            connections=12 if number % 10 else 9,  # a crash now and then
            disk_bytes={
                "run folder": int(1e6 * number * (1 + disk_leak * number)),
                "write-ahead log": 16_777_216,
            },
        )
        for number in range(count)
    ]


def test_a_steady_run_is_flat_though_it_writes_all_the_time() -> None:
    assert not_flat(growth(looks())) == ()
    assert title(growth(looks())).startswith("Flat")


@pytest.mark.parametrize(
    ("grown", "what"),
    [({"leak": 0.01}, "memory of web"), ({"disk_leak": 0.01}, "bytes a second: run folder")],
)
def test_a_leak_is_named(grown: dict[str, float], what: str) -> None:
    found = not_flat(growth(looks(**grown)))
    assert [one.what for one in found] == [what]
    assert title(found).startswith(f"Not flat: {what} +")


def test_what_was_not_there_at_first_is_not_flat() -> None:
    run = looks()
    late = [msgspec.structs.replace(one, open_files={**one.open_files, "sink": 5}) for one in run]
    assert [one.what for one in not_flat(growth(run[:40] + late[40:]))] == ["open files of sink"]


def test_a_short_run_says_nothing() -> None:
    short = looks(LOOKS_MIN - 1)
    assert growth(short) == ()
    assert resource_figures(short) is None


def test_the_chart_is_the_same_each_time_and_its_numbers_stand_beside_it(tmp_path: Path) -> None:
    figures = resource_figures(looks(leak=0.002))
    assert figures is not None
    first, again = (write(tmp_path / one, "resources", figures, salt="run") for one in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    drawn = msgspec.json.decode(first[2].read_bytes(), type=ResourceFigures)
    assert drawn.seconds[-1] == 158.0
    memory = dict(drawn.panels[0].lines)["web"]
    assert memory[0] == 100.0
    assert memory[-1] == pytest.approx(100 * (1 + 0.002 * 79))
