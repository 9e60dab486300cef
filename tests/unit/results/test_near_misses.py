"""For each anomaly the closest innocent histories: the judge looks at them and stays silent."""

import pytest

from results.anomalies.catalogue import CATALOGUE
from results.checker import check
from tests.unit.results import innocent_ledger, innocent_sender, innocent_wire
from tests.unit.results.clean import clean_world
from tests.unit.results.innocent import INNOCENT
from tests.unit.results.oracle import oracle

FILES = (innocent_sender, innocent_ledger, innocent_wire)


@pytest.mark.parametrize("name", INNOCENT)
def test_the_closest_innocent_history_is_judged_and_silent(name: str) -> None:
    close = INNOCENT[name]
    world = clean_world(3)
    close.change(world)
    world.end()
    verdict = check(world.bundle())
    assert set(verdict.totals) == close.beside
    assert close.code not in {entry.code for entry in verdict.not_judged}
    assert {code for code, _, _ in oracle(world.bundle())} == close.beside


def test_every_anomaly_has_an_innocent_neighbour() -> None:
    assert {close.code for close in INNOCENT.values()} == set(CATALOGUE), "innocent_*.py"
