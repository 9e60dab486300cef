"""What a scenario file may not say, and the sentence that it gets for it."""

from collections.abc import Callable
from typing import Any

import pytest

from scenarios import Blind, Burst, Crash, InTransaction, Mix, Scenario, Traffic
from scenarios.engine.catalog import load_scenario, shipped
from scenarios.engine.plan import fault_name


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Traffic(orders=0), "Traffic.orders"),
        (lambda: Traffic(per_second=0), "Traffic.per_second"),
        (lambda: Traffic(create="befor"), "before"),
        (lambda: Burst(copies=0), "Burst.copies"),
        (lambda: Burst(ids="distnct"), "distinct"),
        (lambda: InTransaction("comit-dropped"), "commit-dropped"),
        (lambda: Scenario(title="t", replicas=0), "Scenario.replicas"),
        (lambda: Scenario(title="t", faults=[Crash(at=Blind(), times=0)]), "Crash.times"),
        (lambda: Mix(forged=1.5), "--forged"),
    ],
)
def test_an_impossible_value_is_named(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize("name", shipped())
def test_what_ships_can_be_loaded_and_its_faults_have_names(name: str) -> None:
    _, scenario = load_scenario(name)
    assert scenario.title
    for fault in scenario.faults:
        assert ":" in fault_name(fault)
