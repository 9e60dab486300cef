"""Explorations on real processes and a real Postgres, against the golden table.

The table was reasoned before anything was run, and is proved by a stage within the service's own
process (tests/service); here the same must come out of black boxes behind the wire. The strategies
whose every statement commits have thousands of schedules that all matter: here those with one
preemption, all of them in `make nightly`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.explore.exploration import explore
from scenarios.engine.explore.explored import Exploration
from scenarios.engine.explore.moves import SUFFIX, Schedule, Where
from scenarios.engine.explore.show import cells, planned
from scenarios.engine.explore.walk import Bounds
from tests.service.golden_table import TABLE

ROOT = Path(__file__).resolve().parents[2]
NIGHTLY = os.environ.get("ONCEPROOF_EVERY_SCHEDULE") == "1"
STRATEGIES = tuple(dict.fromkeys(strategy for strategy, _, _ in TABLE))
ONE_PROCESS = ("article_shared_client",)  # what it shares, two processes do not
MANY = ("naive", "article_pool_object")
ROWS = {"present": "there", "absent": "absent"}


async def explored(
    runs: Path, strategy: str, bounds: Bounds, *, ids: str = "both", row: str = "both",
    crashes: int = 0, deliveries: int = 2, one_process: bool = False, cancelled: bool = False,
) -> Exploration:  # fmt: skip
    config = load_config(OWN_CONFIG)
    wheres = cells(
        config, strategy, "honours", ids=ids, row=row, deliveries=deliveries, crashes=crashes,
        one_process=one_process, cancelled=cancelled,
    )  # fmt: skip
    plan = planned(config, strategy, "honours", 1, runs, None, "explore")
    return await explore(plan, wheres, bounds, lambda _: None)


def golden(where: Where) -> set[str]:
    cell = TABLE[where.strategy, where.ids, ROWS[where.row]]
    return set(cell.calm | ((cell.crash or frozenset()) if where.crashes else frozenset()))


def onceproof(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("onceproof")
    return subprocess.run([command, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("strategy", [one for one in STRATEGIES if one not in ONE_PROCESS])
async def test_what_the_golden_table_says_and_nothing_else(tmp_path: Path, strategy: str) -> None:
    few = strategy in MANY and not NIGHTLY
    found = await explored(
        tmp_path, strategy, Bounds(preemptions=1) if few else Bounds(reduced=True)
    )

    assert len(found.cells) == 4
    for cell in found.cells:
        said = set(cell.codes) | ({"5xx"} if cell.refused else set())
        assert said == golden(cell.where), cell.where.words
        assert cell.exhaustive, (cell.where.words, cell.silent, cell.divergences)
    assert {one for one in found.anomalies if one.implied_by == ""} or not any(
        cell.codes for cell in found.cells
    )


async def test_what_deliveries_share_within_one_process(tmp_path: Path) -> None:
    """Statements of a shared client take turns, so not all orders of the table can be."""
    found = await explored(tmp_path, "article_shared_client", Bounds(), one_process=True)

    said = {(one.where.ids, one.where.row): set(one.codes) for one in found.cells}
    for cell in found.cells:
        assert set(cell.codes) | ({"5xx"} if cell.refused else set()) <= golden(cell.where)
        assert cell.unsure and not cell.exhaustive, "whose statement it is, nobody can prove"
    assert said["distinct", "present"] >= {"A1", "A8"}
    assert said["same", "present"] >= {"A3"}, "acknowledged, and rolled back with the other's"
    assert said["distinct", "absent"] == said["same", "absent"] == {"A1", "A3", "A5", "A8"}
    apart = await explored(tmp_path, "article_shared_client", Bounds(), ids="same", row="present")
    assert not apart.cells[0].codes, "two processes share nothing"


@pytest.mark.parametrize(("strategy", "codes"), [("article", {"A10"}), ("insert_first", set())])
async def test_a_cancellation_beside_a_payment(
    tmp_path: Path, strategy: str, codes: set[str]
) -> None:
    found = await explored(tmp_path, strategy, Bounds(), ids="distinct", cancelled=True)

    for cell in found.cells:
        assert cell.exhaustive and set(cell.codes) == codes, cell.where.words


@pytest.mark.parametrize("strategy", ["for_update", "insert_first"])
async def test_one_process_that_shares_nothing_but_a_pool_is_clean(
    tmp_path: Path, strategy: str
) -> None:
    found = await explored(tmp_path, strategy, Bounds(), row="present", one_process=True)

    for cell in found.cells:
        assert cell.exhaustive and not cell.codes, (cell.where.words, cell.silent, cell.unsure)
        starts = {[move.do for move in one.moves].index("start") for one in cell.schedules}
        assert len(starts) > 1, "the second is delivered at every moment of the first"


@pytest.mark.parametrize(
    ("strategy", "ids", "row"),
    [
        ("article", "distinct", "present"),
        ("article", "same", "present"),
        ("for_update", "distinct", "present"),
        ("serializable", "same", "absent"),
        *([(one, ids, row) for one in STRATEGIES for ids in ("distinct", "same") for row in ROWS]
          if NIGHTLY else []),
    ],
)  # fmt: skip
async def test_reduced_is_full(tmp_path: Path, strategy: str, ids: str, row: str) -> None:
    full = await explored(tmp_path, strategy, Bounds(reduced=False), ids=ids, row=row)
    reduced = await explored(tmp_path, strategy, Bounds(reduced=True), ids=ids, row=row)

    assert full.cells[0].outcomes == reduced.cells[0].outcomes
    assert full.cells[0].exhaustive and reduced.cells[0].exhaustive
    assert len(reduced.cells[0].schedules) <= len(full.cells[0].schedules)


@pytest.mark.parametrize(
    "strategy", ["insert_first", "dedupe_first", *(STRATEGIES if NIGHTLY else ())]
)
async def test_a_death_at_every_step(tmp_path: Path, strategy: str) -> None:
    bounds = Bounds(reduced=True) if NIGHTLY else Bounds(preemptions=0)
    found = await explored(tmp_path, strategy, bounds, crashes=1)

    for cell in found.cells:
        said = set(cell.codes) | ({"5xx"} if cell.refused else set())
        assert said - {"5xx"} <= golden(cell.where), cell.where.words
        died = [one for one in cell.schedules if any(move.do != "step" for move in one.moves)]
        assert died and all(None in one.statuses for one in died), "nobody answers for the dead"
    if strategy == "dedupe_first":
        lost = {code for cell in found.cells if cell.where.ids == "same" for code in cell.codes}
        assert {"A2", "A9"} <= lost, "a claim outlives its work"


def test_from_a_finding_to_a_regression_test(tmp_path: Path) -> None:
    done = onceproof(
        "explore", "--strategy", "article", "--ids", "distinct", "--row", "present", "--reduced",
        "--runs", tmp_path / "runs", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["validity"] == "invalid"
    assert set(said["cells"][0]["codes"]) == {"A1", "A8"}
    file = Path(said["run"]) / f"A1-distinct-present{SUFFIX}"
    assert Schedule.read(file).preemptions == 1

    again = onceproof("replay", file, "--times", "20", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "20 of 20 plays led to A1, A8 again" in again.stdout

    schedule = json.loads(file.read_text())
    schedule["where"]["strategy"] = "insert_first"
    kept = tmp_path / "kept"
    kept.mkdir()
    mended = kept / f"mended{SUFFIX}"
    mended.write_text(json.dumps(schedule))
    other = onceproof("replay", mended, "--times", "1", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert other.returncode == 1
    assert "diverged, play 1: move 1 of 16 should be A: step 'SELECT webhook_id" in other.stdout

    (kept / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope=function\n")
    file.rename(kept / f"found{SUFFIX}")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", kept],
        capture_output=True, text=True, cwd=kept,
    )  # fmt: skip
    assert "1 failed, 1 passed" in tests.stdout, tests.stdout
    assert "3 of them to A1, A8 instead" in tests.stdout


BYPASS = """
import os
from aiohttp import web

async def answer(request):
    await request.read()
    return web.json_response({})

app = web.Application()
app.add_routes([web.post("/paid", answer), web.post("/create", answer), web.get("/readyz", answer)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
"""
REFUSES = """
import asyncio, os, sys
import asyncpg
from aiohttp import web

async def refuse(request):
    await request.read()
    await request.app["pool"].fetch("SELECT * FROM notes")
    return web.json_response({}, status=503)

async def ready(request):
    return web.json_response({})

async def start(app):
    app["pool"] = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1)

async def schema():
    db = await asyncpg.connect(os.environ["DATABASE_URL"])
    await db.execute("CREATE TABLE notes (id int)")

if sys.argv[1:] == ["schema"]:
    sys.exit(asyncio.run(schema()))
app = web.Application()
app.on_startup.append(start)
app.add_routes([web.post("/paid", refuse), web.get("/readyz", ready)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
"""
BYPASS_CONFIG = """
[service]
name = "bypass"
webhook = "/paid"
create_webhook = "/create"
secret_from = "SECRET"
database_from = "DATABASE_URL"
[service.roles]
web = ["{python}", "app.py"]
[ledger]
orders = "SELECT ''::text AS shop, ''::text AS order_id, 'paid' AS status WHERE false"
[ledger.counts]
boxes = "SELECT ''::text AS shop, 1::bigint AS order_id, 1 AS count WHERE false"
"""


def test_a_service_that_bypasses_the_wire_is_not_called_clean(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BYPASS)
    (tmp_path / "onceproof.toml").write_text(BYPASS_CONFIG)
    done = onceproof("explore", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert done.returncode == 254, done.stdout + done.stderr
    assert "answered 200, 200, and not each of them had a step" in done.stderr

    schedule = Schedule(
        where=Where(strategy="default", provider="honours", ids="distinct", row="absent"),
        moves=(), codes=("A1",),
    )  # fmt: skip
    schedule.write(tmp_path / f"x{SUFFIX}")
    again = onceproof("replay", f"x{SUFFIX}", "--mended", "--times", "1", cwd=tmp_path)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "play 1 proves nothing: 2 of its deliveries had no step" in again.stdout


def test_a_bound_on_preemptions_leaves_it_open(tmp_path: Path) -> None:
    done = onceproof(
        "explore", "--ids", "same", "--row", "absent", "--preemptions", "1", "--runs",
        tmp_path / "runs", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr


def test_who_never_acknowledges_is_not_called_clean(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(REFUSES)
    (tmp_path / "onceproof.toml").write_text(
        BYPASS_CONFIG.replace(
            'database_from = "DATABASE_URL"',
            'database_from = "DATABASE_URL"\nschema = ["{python}", "app.py", "schema"]',
        )
    )
    done = onceproof("explore", "--row", "absent", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "never acknowledged" in " ".join(done.stdout.split())


def test_every_crash_point_as_a_table(tmp_path: Path) -> None:
    done = onceproof(
        "explore", "--strategy", "article", "--crash-points", "--row", "present", "--runs",
        tmp_path / "runs", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [
        line for line in done.stdout.splitlines() if line.startswith(("before", "during", "after"))
    ]
    assert len(rows) == 10
    assert [row.split()[:2] for row in rows[-3:]] == [
        ["before", "COMMIT"], ["during", "COMMIT"], ["after", "COMMIT"],
    ]  # fmt: skip
    assert all("no answer" in row and row.rstrip().endswith("nothing") for row in rows)
    assert "paid" not in rows[-3] and "paid, 1 to ship" in rows[-2] and "paid" in rows[-1]


def test_what_is_no_schedule_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.schedule.json").write_text("{}")
    done = onceproof("replay", tmp_path / "x.schedule.json", cwd=tmp_path)
    assert (done.returncode, "is no schedule" in done.stderr) == (254, True)
    done = onceproof("replay", tmp_path / "y.schedule.json", cwd=tmp_path)
    assert (done.returncode, "No such file" in done.stderr) == (254, True)
