"""Services that talk to their database in other ways than ours: no step of theirs is missed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SERVICE = """
import asyncio, json, os, sys
import asyncpg
from aiohttp import web

COUNT = "SELECT count(*) FROM boxes WHERE order_id = $1"
INSERT = "INSERT INTO boxes (order_id) VALUES ($1)"

async def one_query(db, order):
    if not await db.fetchval(COUNT, order):
        await db.execute(f"BEGIN; INSERT INTO boxes (order_id) VALUES ({order}); COMMIT")

async def polling(db, order):
    async with db.transaction():
        if not await db.fetchval(COUNT, order):
            await db.execute(INSERT, order)

async def at_once(db, order):
    async def other():
        async with pool.acquire() as another:
            if not await another.fetchval(COUNT, order):
                await another.execute(INSERT, order)
    await asyncio.gather(db.fetchval("SELECT count(*) FROM jobs"), other())

async def later(db, order):
    await db.execute("INSERT INTO boxes (order_id) SELECT $1::bigint FROM (SELECT) one WHERE"
                     " NOT EXISTS (SELECT FROM boxes WHERE order_id = $1)", order)
    async def work():
        await asyncio.sleep(0.1)
        await pool.fetchval(COUNT, order)
    request_tasks.add(asyncio.create_task(work()))

async def seen_early(db, order):
    async with db.transaction():
        await db.fetchval(COUNT, order)
        await db.fetchval("SELECT id FROM jobs FOR UPDATE")
        if not await db.fetchval(COUNT, order):
            await db.execute(INSERT, order)

async def calls(db, order):
    await db.fetchval("SELECT 1 AS one, claim($1)", order)

request_tasks = set()

async def paid(request):
    order = int(json.loads(await request.read())["id"])
    async with pool.acquire() as db:
        await globals()[os.environ["HOW"]](db, order)
    return web.Response()

async def ok(request):
    return web.Response()

async def poll():
    while True:
        async with pool.acquire() as db, db.transaction():
            await db.fetchval("SELECT count(*) FROM jobs")
        await asyncio.sleep(0.05)

async def start(app):
    global pool
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4)
    if os.environ["HOW"] == "polling":
        app["poll"] = asyncio.create_task(poll())

async def schema():
    db = await asyncpg.connect(os.environ["DATABASE_URL"])
    await db.execute("CREATE TABLE boxes (order_id bigint); CREATE TABLE jobs (id int);"
                     "INSERT INTO jobs VALUES (1); CREATE FUNCTION claim(o bigint) RETURNS int"
                     " LANGUAGE sql AS 'INSERT INTO boxes VALUES (o) RETURNING 1'")

if sys.argv[1:] == ["schema"]:
    sys.exit(asyncio.run(schema()))
app = web.Application()
app.on_startup.append(start)
app.add_routes([web.post("/paid", paid), web.post("/create", ok), web.get("/readyz", ok)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
"""
CONFIG = """
[service]
name = "stranger"
webhook = "/paid"
create_webhook = "/create"
secret_from = "SECRET"
database_from = "DATABASE_URL"
strategy_from = "HOW"
schema = ["{python}", "app.py", "schema"]
[service.roles]
web = ["{python}", "app.py"]
[strategies]
one_query = "BEGIN, INSERT and COMMIT are one Query"
polling = "a timer of the service's begins and commits transactions, too"
later = "goes on after a while, when all has been answered"
seen_early = "right: looks, locks and looks again"
calls = "one function, not at the head of its statement, writes"
at_once = "two connections work for one delivery"
[ledger]
orders = '''SELECT 'onceproof-demo.myshopify.com' AS shop, order_id, 'paid' AS status
FROM boxes GROUP BY order_id'''
[ledger.counts]
boxes = '''SELECT 'onceproof-demo.myshopify.com' AS shop, order_id, count(*) AS count
FROM boxes GROUP BY order_id'''
"""


def explored(folder: Path, strategy: str, *options: str) -> dict[str, Any]:
    (folder / "app.py").write_text(SERVICE)
    (folder / "onceproof.toml").write_text(CONFIG.replace("{python}", sys.executable))
    command = Path(sys.executable).with_name("onceproof")
    done = subprocess.run(
        [command, "explore", "--strategy", strategy, "--ids", "same", "--row", "present",
         "--runs", folder / "runs", "--json", *options],
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    cell: dict[str, Any] = said["cells"][0]
    assert (said["validity"] == "invalid") == bool(cell["codes"]), "what is shown is what is meant"
    return cell


@pytest.mark.parametrize("strategy", ["one_query", "polling"])
def test_the_race_is_found(tmp_path: Path, strategy: str) -> None:
    cell = explored(tmp_path, strategy)
    assert "A17" in cell["codes"]
    assert cell["exhaustive"] or strategy == "polling"  # a timer may come between, which is said
    # Two steps each: C(4, 2). Three, where the first two see nothing: more than that.
    assert cell["schedules"] == 6 if strategy == "one_query" else cell["schedules"] > 6


def test_two_steps_at_once_of_one_delivery_are_held_and_said(tmp_path: Path) -> None:
    cell = explored(tmp_path, "at_once")
    assert "A17" in cell["codes"]
    assert cell["steps_at_once"] > 0 and not cell["exhaustive"]


def test_what_goes_on_after_all_were_answered_is_said(tmp_path: Path) -> None:
    cell = explored(tmp_path, "later")
    assert cell["schedules_with_late_steps"] > 0 and not cell["exhaustive"]


def test_a_play_that_was_ended_early_accuses_nobody(tmp_path: Path) -> None:
    cell = explored(tmp_path, "seen_early", "--reduced")
    assert not cell["codes"] and cell["exhaustive"]


def test_a_death_just_after_a_function_that_wrote_is_a_point(tmp_path: Path) -> None:
    cell = explored(tmp_path, "calls", "--deliveries", "1", "--crashes", "1")
    assert "A17" in cell["codes"], "redelivered, it takes effect again"


EXPRESS = Path(__file__).resolve().parents[2] / "examples" / "express"
ONE_CLIENT = (
    ("const client = await pool.connect();", "const client = await (shared ??= pool.connect());"),
    ("client.release(lost);", ""),
    ("const app = express();", "let shared;\nconst app = express();"),
)


def test_a_client_that_deliveries_share_is_found_in_one_process_and_not_in_two(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "express"
    shutil.copytree(EXPRESS, folder, ignore=shutil.ignore_patterns("node_modules"))
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    npm = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True
    )
    if npm.returncode:
        pytest.skip(f"npm could not prepare it: {npm.stderr[-300:]}")
    code = (folder / "server.js").read_text()
    for before, after in ONE_CLIENT:
        assert before in code
        code = code.replace(before, after)
    (folder / "server.js").write_text(code)

    def explore(*options: str) -> dict[str, Any]:
        done = onceproof(
            folder, "explore", "--strategy", "article", "--ids", "same", "--row", "present",
            "--runs", folder / "runs", "--json", *options,
        )  # fmt: skip
        assert done.stdout, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    assert explore()["validity"] == "valid", "each of two processes has a client to itself"
    said = explore("--one-process")
    assert "A3" in said["cells"][0]["codes"], "acknowledged, and rolled back by the other's mistake"
    file = Path(said["run"]) / "A3-same-present.schedule.json"
    again = onceproof(folder, "replay", file, "--times", "20", "--runs", folder / "runs")
    assert "20 of 20 plays led to A3 again" in again.stdout, again.stdout + again.stderr


def onceproof(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("onceproof")
    return subprocess.run([command, *arguments], capture_output=True, text=True, cwd=folder)
