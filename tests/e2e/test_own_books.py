"""Services without a provider, and one that exits when the database hangs up on it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.swarm import ROOT
from results.run_folder import RunFolder
from tests.e2e.stranger import CONFIG, SCHEMA, WEB, write_stranger
from tests.e2e.test_own_service import SCENARIO

BOOKS = CONFIG.replace('provider_from = "SHIPPER"\n', "").replace(
    "[ledger]",
    """careless = "credits whenever it has seen no payment"
[ledger.counts]
credits = "SELECT shop, order_id, balance / 500 AS count FROM accounts"
[ledger]""",
)
CREDIT = """async def work(app, shop, order):
    async with app["pool"].acquire() as db, db.transaction():
        paid = await db.fetchval("SELECT status FROM bought WHERE order_id = $1", order["id"])
        new = await db.fetchval("INSERT INTO bought VALUES ($1, $2, 'paid')"
                                " ON CONFLICT DO NOTHING RETURNING 1", shop, order["id"])
        await asyncio.sleep(0.01)
        if new or (HOW == "careless" and not paid):
            await db.execute("INSERT INTO accounts VALUES ($1, $2, 500) ON CONFLICT (order_id)"
                             " DO UPDATE SET balance = accounts.balance + 500", shop, order["id"])

async def unused"""
ACCOUNTS = "await db.execute('CREATE TABLE accounts (shop text, order_id bigint PRIMARY KEY," \
           " balance int)')\nasyncio.run"  # fmt: skip
SESSIONS_CUT = """
from scenarios import DbDisconnect, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="A few sessions cut", replicas=2, traffic=Traffic(orders=200, per_second=50),
    faults=[DbDisconnect(times=2)], stretch_ms=2.0,
    needs=Thresholds(overlapping_groups=10, lateness_p99_ms=2_000),
)
"""
HANGS_UP = """
    return await asyncpg.create_pool(init=listen_for_the_end, **database(), min_size=2)

async def listen_for_the_end(db):
    db.add_termination_listener(lambda _: os._exit(3))

async def unused():
"""


def judged(folder: Path, config: Path, scenario: str, strategy: str) -> tuple[int, RunFolder, str]:
    (folder / "mine.py").write_text(scenario)
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "run", str(folder / "mine.py"), "--config",
         str(config), "--strategy", strategy, "--seed", "3", "--runs", str(folder / "runs")],
        cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    said = done.stdout + done.stderr
    return done.returncode, RunFolder.find(folder / "runs"), said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "status", "codes"), [("right", 0, set()), ("careless", 1, {"A17"})]
)
def test_a_balance_that_is_credited_twice_is_found_though_the_rows_look_clean(
    tmp_path: Path, strategy: str, status: int, codes: set[str]
) -> None:
    web = WEB.replace("async def work", CREDIT, 1)
    config = write_stranger(tmp_path / "service", config=BOOKS, web=web)
    schema = SCHEMA.replace("\nasyncio.run", f"\n    {ACCOUNTS}")
    (tmp_path / "service" / "schema.py").write_text(schema)
    found, folder, said = judged(tmp_path, config, SCENARIO, strategy)
    assert found == status, said
    assert set(json.loads(folder.verdict.read_bytes())["totals"]) == codes


@pytest.mark.slow
def test_a_process_that_exits_with_its_connection_is_restarted_and_reported(
    tmp_path: Path,
) -> None:
    web = WEB.replace("\n    return await asyncpg.create_pool(\n", f"{HANGS_UP}    x = dict(\n", 1)
    config = write_stranger(tmp_path / "service", web=web)
    status, folder, said = judged(tmp_path, config, SESSIONS_CUT, "right")
    assert folder.verdict.exists(), said
    verdict = json.loads(folder.verdict.read_bytes())
    assert (status, verdict["totals"]) == (0, {}), said
    (exits,) = [one for one in verdict["findings"] if one["name"] == "own-exits"]
    assert exits["count"] >= 2
    assert "started again" in exits["message"]
