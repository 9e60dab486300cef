"""What may be said of a prediction, given what was explored."""

from pathlib import Path

import pytest

from results.lint.finding import REFUSED, Finding
from results.lint.traced import Row
from results.run_folder import RunFolder
from results.verdict import NotJudged
from scenarios.engine.explore.explored import Exploration, Explored
from scenarios.engine.explore.moves import Ids, Schedule, Where
from scenarios.engine.lint.confirm import judge

A1 = Finding(rule="r", sql="s", why="w", fix="f", codes=("A1",), rows=("present",))
CRASH = Finding(rule="r", sql="s", why="w", fix="f", crash_codes=("A2",), rows=("present",))


def explored(
    folder: Path, *codes: str, ids: Ids = "distinct", row: Row = "present", crashes: int = 0,
    silent: int = 0, exhausted: bool = True, preemptions: int | None = None,
    status: int = 200, not_judged: str = "",
) -> tuple[Exploration, dict[str, str]]:  # fmt: skip
    where = Where(strategy="s", provider="honours", ids=ids, row=row, crashes=crashes)
    cell = Explored(
        where=where, reduced=True, preemptions_max=preemptions, exhausted=exhausted, asleep=0,
        silent=silent, divergences=0, seconds=0.0, orders=(), beside=0, late=0, early_codes=(),
        schedules=(Schedule(where=where, moves=(), codes=codes, statuses=(200, status)),),
    )  # fmt: skip
    silenced = (NotJudged(code=not_judged, name="n", reason="r"),) if not_judged else ()
    found = Exploration(
        folder=RunFolder(folder), anomalies=(), not_judged=silenced, cells=(cell,)
    )  # fmt: skip
    return found, found.write()


def test_a_schedule_that_shows_it_confirms_it(tmp_path: Path) -> None:
    said = judge(A1, "A1", [explored(tmp_path, "A1")])
    assert said.said == "confirmed"
    assert Path(said.schedule).is_file()


def test_all_schedules_without_it_refute_it(tmp_path: Path) -> None:
    done = [explored(tmp_path, "A5"), explored(tmp_path, ids="same")]
    assert judge(A1, "A1", done).said == "refuted"


@pytest.mark.parametrize(
    "more",
    [
        {"silent": 1},
        {"exhausted": False},
        {"not_judged": "A1"},
    ],
)
def test_one_kind_that_is_not_whole_leaves_it_open(tmp_path: Path, more: dict[str, int]) -> None:
    done = [explored(tmp_path, ids="same"), explored(tmp_path, **more)]  # type: ignore[arg-type]
    assert judge(A1, "A1", done).said == "undecided"


def test_other_rows_and_ids_say_nothing(tmp_path: Path) -> None:
    only_same = Finding(
        rule="r", sql="s", why="w", fix="f", codes=("A1",), rows=("present",), ids="same"
    )
    assert judge(A1, "A1", [explored(tmp_path, "A1", row="absent")]).said == "undecided"
    assert judge(only_same, "A1", [explored(tmp_path, "A1")]).said == "undecided"
    assert judge(A1, "A1", []).said == "undecided"


def test_few_preemptions_confirm_and_never_refute(tmp_path: Path) -> None:
    assert judge(A1, "A1", [explored(tmp_path, preemptions=1)]).said == "undecided"
    assert judge(A1, "A1", [explored(tmp_path, "A1", preemptions=1)]).said == "confirmed"


def test_what_needs_a_crash_is_not_refuted_without_one(tmp_path: Path) -> None:
    done = [explored(tmp_path)]
    assert judge(CRASH, "A2", done).said == "undecided"
    done.append(explored(tmp_path, crashes=1))
    assert judge(CRASH, "A2", done).said == "refuted"
    done.append(explored(tmp_path, "A2", crashes=1, ids="same"))
    assert judge(CRASH, "A2", done).said == "confirmed"


def test_a_refused_answer_is_no_code_and_gets_a_schedule_too(tmp_path: Path) -> None:
    refused = Finding(rule="r", sql="s", why="w", fix="f", codes=(REFUSED,), rows=("present",))
    assert judge(refused, REFUSED, [explored(tmp_path)]).said == "refuted"
    said = judge(refused, REFUSED, [explored(tmp_path, status=503)])
    assert said.said == "confirmed"
    assert Path(said.schedule).is_file()
