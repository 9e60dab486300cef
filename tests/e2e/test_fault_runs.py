"""Each kind of fault in a whole run: it happens, is proved, and the right handler survives it."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.faults import NEEDS
from results.records import Thresholds
from results.verdict import Validity, Verdict
from scenarios import (
    Burst,
    ClockSkew,
    Crash,
    DbCrash,
    DbLatency,
    EachStatement,
    InTransaction,
    Mix,
    Oom,
    PowerLoss,
    ProviderFault,
    RollingRestart,
    Scenario,
    Traffic,
)
from scenarios.engine.catalog import load_scenario
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import RunPlan, fault_name
from scenarios.engine.runner import run
from scenarios.engine.scenario import Fault

CALM = Thresholds(overlapping_groups=10, lateness_p99_ms=None, shed_orders=1_000)
SMALL = Traffic(orders=120, per_second=40, users=300)


async def judged(scenario: Scenario, runs: Path, strategy: str = "insert_first") -> Verdict:
    plan = RunPlan(
        name="test", scenario=scenario, config=load_config(OWN_CONFIG), strategy=strategy,
        provider=scenario.provider or "honours", seed=11, runs=runs,
    )  # fmt: skip
    _, verdict = await run(plan, lambda _: None)
    return verdict


@pytest.mark.parametrize(
    "fault",
    [
        DbCrash(),
        DbLatency(delay_ms=30, seconds=1),
        PowerLoss(dark_seconds=1.5),
        ProviderFault(what="reply-lost", seconds=1),
        ProviderFault(what="down", seconds=1),
        RollingRestart(),
        Crash(at=EachStatement(), times=2),
        Crash(at=InTransaction("commit-dropped"), times=1, role="relay"),
        Oom(at=InTransaction("commit-dropped")),
        ClockSkew(lasting_seconds=1.5),
    ],
    ids=fault_name,
)
async def test_a_fault_is_proved_and_survived(tmp_path: Path, fault: Fault) -> None:
    available, how = NEEDS.get(fault.kind, lambda: (True, ""))()
    if not available:
        pytest.skip(f"{fault.kind.upper()} WAS NOT TRIED: {how}")
    verdict = await judged(Scenario(title="t", traffic=SMALL, faults=[fault], needs=CALM), tmp_path)

    assert (verdict.validity, verdict.doubts) == (Validity.VALID, ())
    counted = verdict.coverage.faults[fault_name(fault)]
    assert (counted.asked, counted.fired, counted.evidenced) == (fault.times,) * 3


async def test_no_handler_is_exactly_once_with_a_provider_that_ignores_keys(
    tmp_path: Path,
) -> None:
    _, scenario = load_scenario("provider_ignores_keys")
    verdict = await judged(replace(scenario, needs=CALM), tmp_path)

    assert verdict.validity is Validity.INVALID
    assert set(verdict.totals) == {"A1"}
    assert "provider-ignores-keys" in {finding.name for finding in verdict.findings}


async def test_everything_that_may_come_beside_a_burst_changes_nothing(tmp_path: Path) -> None:
    mix = Mix(again=0.3, repaid=0.3, cancelled=0.2, forged=0.3, two_shops=True)
    traffic = replace(SMALL, mix=mix, rotate_after=40, duplicates=Burst(copies=2, ids="distinct"))
    verdict = await judged(Scenario(title="t", traffic=traffic, needs=CALM), tmp_path)

    assert (verdict.validity, verdict.doubts) == (Validity.VALID, ())
    judged_not = {item.code for item in verdict.not_judged}
    assert not judged_not & {"A1", "A2", "A4", "A10", "A11", "A15"}
