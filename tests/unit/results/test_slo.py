"""Service level objectives: how they are written, when they are met, what they may change."""

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from results.checker import check, judge
from results.errors import ConfigError
from results.junit import write_junit
from results.latency import Latency
from results.slo import judge_slos, parse_slo
from results.summary import markdown_summary, verdict_table
from results.verdict import Validity, Verdict
from results.wording import headline
from tests.unit.results.clean import clean_world
from tests.unit.results.planted import planted
from tests.unit.results.world import manifest_of, write

MEASURED = Latency(ok=95, info=4, fail=1, p50_ms=10.0, p90_ms=50.0, p99_ms=250.0, max_ms=900.0)


def judged(validity: Validity, *slos: str) -> Verdict:
    """Latencies of the planted runs are 8 ms; a valid, an invalid and an unknown one."""
    if validity is Validity.INVALID:
        return check(planted("A1", slos=slos))
    status = "interrupted" if validity is Validity.UNKNOWN else "finished"
    world = clean_world(3, slos=slos, status=status)
    world.end()
    return check(world.bundle())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99<250ms", "p99<250ms"),
        (" p50 < 1.5s ", "p50<1500ms"),
        ("max<3s", "max<3000ms"),
        ("p90<0.5ms", "p90<0.5ms"),
        ("unknown-rate<1%", "unknown-rate<1%"),
    ],
)
def test_an_objective_is_read(text: str, words: str) -> None:
    assert parse_slo(text).words == words


@pytest.mark.parametrize(
    "text",
    ["", "p99", "p99<250", "p99>250ms", "p98<1ms", "p99<1%", "unknown-rate<1ms", "p99<-1ms",
     "p99<0ms", "p99<1e3ms", "p99<٣ms", "p99<1msx", "p99<=1ms"],
)  # fmt: skip
def test_a_broken_objective_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="--slo 'p99<250ms'") as error:
        parse_slo(text)
    assert error.value.exit_status == 254


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p50<10.1ms", True), ("p50<10ms", False), ("p90<50.1ms", True), ("p90<49ms", False),
        ("p99<251ms", True), ("p99<250ms", False), ("max<0.9s", False), ("max<1s", True),
        ("unknown-rate<4.1%", True), ("unknown-rate<4%", False),
    ],
)  # fmt: skip
def test_an_objective_is_met_below_its_limit_only(text: str, met: bool) -> None:
    (result,) = judge_slos([text], MEASURED)
    assert result.met is met


@pytest.mark.parametrize("text", ["p50<1s", "p90<1s", "p99<1s", "max<1s", "unknown-rate<99%"])
def test_nothing_measured_is_missed(text: str) -> None:
    (result,) = judge_slos([text], Latency())
    assert not result.met
    assert "not measured" in result.words


@pytest.mark.parametrize(
    ("validity", "missed", "met"),
    [(Validity.VALID, 3, 0), (Validity.INVALID, 1, 1), (Validity.UNKNOWN, 2, 2)],
)
def test_only_a_valid_run_has_a_status_for_a_missed_objective(
    validity: Validity, missed: int, met: int
) -> None:
    both = judged(validity, "p99<1s", "p99<1ms")
    assert (both.validity, both.exit_status) == (validity, missed)
    assert judged(validity, "p99<1s").exit_status == met
    assert [result.slo.words for result in both.slos_missed] == ["p99<1ms"]


def test_a_stored_run_is_judged_by_its_own_objectives_or_by_new_ones(tmp_path: Path) -> None:
    world = clean_world(3, slos=("p99<1ms",))
    world.end()
    folder = write(world.bundle(), tmp_path)
    assert judge(folder).exit_status == 3
    assert judge(folder, ["p99<1s"]).exit_status == 0
    assert Verdict.read(folder.verdict).slos[0].slo.words == "p99<1000ms"
    assert judge(folder).exit_status == 3


def test_a_missed_objective_is_told_everywhere(tmp_path: Path) -> None:
    verdict = judged(Validity.VALID, "p99<1ms", "p50<1s")
    root = ET.parse(write_junit(tmp_path / "junit.xml", [(verdict, ())])).getroot()
    failures = {
        case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
    }
    out = io.StringIO()
    Console(file=out, width=200).print(verdict_table([(manifest_of(), verdict)]))

    assert failures == {"slo p99<1ms"}
    assert root.get("failures") == "1"
    assert "✗ p99<1ms" in out.getvalue()
    assert "✓ p50<1000ms" in out.getvalue()
    assert headline(verdict).endswith("but p99<1ms missed: 8.0 ms")
    assert "SLO p99&lt;1ms missed: 8.0 ms" in markdown_summary([(verdict, ())])


def test_without_objectives_nothing_is_said_of_them() -> None:
    out = io.StringIO()
    verdict = judged(Validity.VALID)
    Console(file=out, width=200).print(verdict_table([(manifest_of(), verdict)]))
    assert "SLO" not in out.getvalue() + markdown_summary([(verdict, ())]) + headline(verdict)
