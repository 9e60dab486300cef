"""The matrix with a stand-in for its children: what it believes, runs again, keeps and forgets."""

import asyncio
import json
import sys
import time
from pathlib import Path

import msgspec
import pytest

from results.errors import ConfigError, HarnessError
from results.run_folder import RunFolder
from results.verdict import Validity
from scenarios.engine import disk
from scenarios.engine.cells import Cell, CellResult
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.expected import ALL_VALID, Expectation, Expected
from scenarios.engine.matrix import MatrixPlan, run_matrix
from scenarios.engine.scenario import Scenario
from scenarios.engine.show import heal_and_show
from scenarios.engine.slots import Slot
from tests.unit.results.world import manifest_of

CELL = Cell(strategy="right", scenario="storm", provider="honours", seed=1)
CHILD = """#!{python} -IS
import json, pathlib, sys, time
given = dict(zip(sys.argv[5::2], sys.argv[6::2]))
here = pathlib.Path(__file__).parent
answer = json.loads((here / "answers.json").read_text())[given["--strategy"]]
with (here / "asked").open("a") as asked:
    asked.write(given["--strategy"] + "\\n")
run = pathlib.Path(given["--runs"], f"run-{{time.time_ns()}}")
(run / "logs").mkdir(parents=True)
(run / "manifest.json").write_bytes((here / "manifest.json").read_bytes())
for name in ("history-0.jsonl", "wire.jsonl", "logs/web-0.log", "verdict.json", "report.html"):
    (run / name).write_text(name)
verdict = {{"run_id": run.name, "scenario": sys.argv[4], "title": "", "sentence": "s",
    "strategy": given["--strategy"], "provider": given["--provider"], "seed": int(given["--seed"]),
    "validity": "valid", **answer.get("verdict", {{}})}}
if answer.get("speaks", True):
    print(json.dumps(verdict))
print(answer.get("says", ""), file=sys.stderr, flush=True)
time.sleep(answer.get("sleeps", 0))
sys.exit(answer["status"])
"""
RIGHT = {"status": 0}
WRONG = {"status": 1, "verdict": {"validity": "invalid", "totals": {"A8": 2, "A10": 1}}}
OPEN = {"status": 2, "verdict": {"validity": "unknown"}}


class Children:
    """Answers for the children to come, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def answer(self, **answers: object) -> None:
        (self.folder / "answers.json").write_text(json.dumps(answers))

    def asked(self) -> list[str]:
        file = self.folder / "asked"
        told = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return told


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    script = tmp_path / "child" / "python"
    script.parent.mkdir()
    script.write_text(CHILD.format(python=sys.executable))
    script.chmod(0o755)
    (script.parent / "manifest.json").write_bytes(msgspec.json.encode(manifest_of()))
    monkeypatch.setattr(sys, "executable", str(script))
    return Children(script.parent)


async def one(tmp_path: Path, limit_seconds: float = 30) -> CellResult:
    return await Slot(tmp_path / "m", 0, OWN_CONFIG).run(CELL, "storm", limit_seconds)


async def test_a_verdict_becomes_a_result(tmp_path: Path, children: Children) -> None:
    children.answer(right=WRONG)
    found = await one(tmp_path)
    assert (found.cell, found.validity, found.codes) == (CELL, Validity.INVALID, ("A8", "A10"))
    assert (tmp_path / "m" / found.run).is_dir()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 0, "verdict": {"seed": 2}},
        {"status": 0, "verdict": {"strategy": "another"}},
        {"status": 0, "verdict": {"scenario": "another"}},
        {"status": 0, "verdict": {"provider": "ignores"}},
        {"status": 0, "verdict": {"validity": "invalid"}},
        {"status": 1},
        {"status": 0, "speaks": False},
        {"status": 255, "speaks": False},
        {"status": 130},
    ],
)
async def test_what_does_not_fit_together_proves_nothing(
    tmp_path: Path, children: Children, answer: dict[str, object]
) -> None:
    children.answer(right={**answer, "says": "starting\nonceproof: no disk"})
    found = await one(tmp_path)
    assert (found.validity, found.causes, found.run) == (Validity.UNKNOWN, ("run-failed",), "")
    assert "onceproof: no disk" in found.sentence


async def test_a_run_that_does_not_end_is_ended(tmp_path: Path, children: Children) -> None:
    children.answer(right={"status": 0, "sleeps": 600})
    begun = time.monotonic()
    found = await one(tmp_path, limit_seconds=1.0)
    assert time.monotonic() - begun < 25
    assert "did not end within 1 s" in found.sentence


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("onceproof: no such key", "no such key"),
        ("starting\nonceproof: run this:\n    CREATE x;", "run this:\n    CREATE x;"),
        ("Usage: onceproof run\nError: no such option", "Error: no such option"),
    ],
)
async def test_wrong_input_ends_the_matrix(
    tmp_path: Path, children: Children, says: str, told: str
) -> None:
    children.answer(right={"status": 254, "speaks": False, "says": says})
    with pytest.raises(ConfigError) as caught:
        await one(tmp_path)
    assert str(caught.value) == told


async def whole(
    tmp_path: Path, *strategies: str, expected: Expected = ALL_VALID, **changes: int
) -> tuple[dict[str, CellResult], list[str]]:
    """The results by strategy, and what a person was told."""
    plan = MatrixPlan(
        strategies=strategies, scenarios={"storm": ("storm", Scenario(title="t"))},
        providers=("honours",), seeds=(1,), config_path=OWN_CONFIG,
        config=load_config(OWN_CONFIG), runs=tmp_path,
        expected=expected, **{"jobs": 2, **changes},  # type: ignore[arg-type]
    )  # fmt: skip
    told: list[str] = []
    results = await run_matrix(plan, tmp_path / "m", told.append)
    return {result.cell.strategy: result for result in results}, told


def kept(tmp_path: Path) -> set[str]:
    return {str(path.relative_to(tmp_path / "m")) for path in tmp_path.glob("m/slot-*/run-*")}


def slim(tmp_path: Path, result: CellResult) -> bool:
    """Whether only small files of a run are left; all of them are there otherwise."""
    folder = RunFolder(tmp_path / "m" / result.run)
    left = {path.name for path in folder.path.iterdir()}
    small, large = {"manifest.json", "verdict.json", "report.html"}, {"wire.jsonl", "logs"}
    assert left in (small, small | large | {"history-0.jsonl"})
    assert folder.read_manifest().history_kept is (left != small)
    return left == small


async def test_only_what_proved_nothing_is_run_again(tmp_path: Path, children: Children) -> None:
    children.answer(right=RIGHT, wrong=WRONG, open=OPEN, broken={"status": 255, "speaks": False})
    first, _ = await whole(tmp_path, "right", "wrong", "open", "broken")
    assert sorted(children.asked()) == ["broken", "open", "right", "wrong"]
    assert kept(tmp_path) >= {first[name].run for name in ("right", "wrong", "open")}
    assert [slim(tmp_path, first[name]) for name in ("right", "wrong", "open")] == [
        True, False, False,
    ]  # fmt: skip

    children.answer(open=RIGHT, broken=WRONG)
    second, told = await whole(tmp_path, "right", "wrong", "open", "broken")
    assert sorted(children.asked()) == ["broken", "open"]
    assert "ran 4 of the cells" in told[0]
    assert second["wrong"] == first["wrong"]
    assert second["open"].validity is Validity.VALID
    assert kept(tmp_path) == {result.run for result in second.values()}

    await whole(tmp_path, "right", "wrong", "open", "broken")
    assert children.asked() == []


async def test_fresh_forgets_and_keep_keeps(tmp_path: Path, children: Children) -> None:
    children.answer(right=RIGHT)
    first, _ = await whole(tmp_path, "right", keep=True)
    assert kept(tmp_path) == {first["right"].run}
    again, _ = await whole(tmp_path, "right", keep=True, fresh=True)
    assert children.asked() == ["right", "right"]
    assert kept(tmp_path) == {again["right"].run} != {first["right"].run}
    assert not slim(tmp_path, again["right"])


async def test_a_guilty_cell_is_slim_where_it_is_expected_or_nobody_said_what_is(
    tmp_path: Path, children: Children
) -> None:
    children.answer(wrong=WRONG, right=RIGHT)
    guilty = Expectation(frozenset({"A8", "A10"}))
    table = Expected({("wrong", "storm", ""): guilty, ("right", "storm", ""): guilty})
    found, _ = await whole(tmp_path, "wrong", "right", expected=table)
    assert slim(tmp_path, found["wrong"])
    assert not slim(tmp_path, found["right"])  # valid, and that is what nobody expected
    stray, _ = await whole(tmp_path, "wrong", expected=Expected({}), fresh=True)
    assert slim(tmp_path, stray["wrong"])


async def test_a_matrix_stops_before_the_disk_is_full_and_goes_on_later(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.answer(first=RIGHT, second=RIGHT)
    asked = iter([disk.FREE_MIN_BYTES, disk.FREE_MIN_BYTES - 1])
    with monkeypatch.context() as patched:
        patched.setattr(disk, "places", lambda runs: (("runs", runs),))
        patched.setattr(disk, "free_bytes", lambda _path: next(asked))
        with pytest.raises(ExceptionGroup) as stopped:
            await whole(tmp_path, "first", "second", jobs=1)
    assert stopped.group_contains(HarnessError, match=r"Only 1023 MiB are free on the disk of")
    assert children.asked() == ["first"]

    await whole(tmp_path, "first", "second")
    assert children.asked() == ["second"]


async def test_a_matrix_of_which_nothing_ran_is_the_harness_at_fault(
    tmp_path: Path, children: Children
) -> None:
    children.answer(a={"status": 255, "says": "no Postgres"}, b={"status": 255})
    with pytest.raises(HarnessError, match="no Postgres"):
        await whole(tmp_path, "a", "b")


def test_heal_looks_into_the_slots(tmp_path: Path) -> None:
    ended = manifest_of(status="running", runner_pid=2**22 + 1)
    folder = RunFolder.create(tmp_path / "matrix-0" / "slot-1", ended)
    folder.journal.touch()
    assert asyncio.run(heal_and_show(tmp_path, as_json=True)) == 0
    assert folder.read_manifest().status == "interrupted"
