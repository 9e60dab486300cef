"""A stranger's service: its own folder, its own modules, one of them a namesake of ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.swarm import ROOT
from results.run_folder import RunFolder
from scenarios.engine.config import load_config

CONFIG = """
[service]
name = "a stranger's"
webhook = "/paid"
ready = "/ready"
secret_from = "SECRET"
database_from = "DSN"
provider_from = "SHIPPER"
strategy_from = "HOW"
schema = ["{python}", "-m", "service", "schema"]
[service.roles]
web = ["{python}", "-m", "service", "web"]
[strategies]
twice = "asks for a shipment under a fresh key each time"
right = "the row decides, the key is the order's"
[ledger]
orders = "SELECT shop, order_id, status FROM bought"
"""
MAIN = """
import asyncio, sys
from neighbour import prepare, serve
asyncio.run({"schema": prepare, "web": serve}[sys.argv[1]]())
"""
NEIGHBOUR = """
import asyncio, base64, hashlib, hmac, json, os, uuid
import aiohttp, asyncpg
from aiohttp import web

async def prepare():
    db = await asyncpg.connect(os.environ["DSN"])
    await db.execute("CREATE TABLE bought (shop text, order_id bigint, status text,"
                     " PRIMARY KEY (shop, order_id))")

async def paid(request):
    body = await request.read()
    digest = hmac.digest(os.environ["SECRET"].encode(), body, "sha256")
    given = request.headers.get("X-Shopify-Hmac-Sha256", "")
    if not hmac.compare_digest(base64.b64encode(digest).decode(), given):
        return web.Response(status=401)
    order, shop = json.loads(body), request.headers["X-Shopify-Shop-Domain"]
    async with request.app["pool"].acquire() as db, db.transaction():
        new = await db.fetchval("INSERT INTO bought VALUES ($1, $2, 'paid')"
                                " ON CONFLICT DO NOTHING RETURNING 1", shop, order["id"])
        await asyncio.sleep(0.01)
    if new or os.environ["HOW"] == "twice":
        key = str(uuid.uuid4()) if os.environ["HOW"] == "twice" else f"{shop}:{order['id']}"
        lines = [{"sku": one["sku"], "quantity": one["quantity"]} for one in order["line_items"]]
        ask = {"shop": shop, "order_id": order["id"], "lines": lines}
        async with aiohttp.ClientSession() as client:
            async with client.post(os.environ["SHIPPER"], json=ask,
                                   headers={"Idempotency-Key": key}) as answer:
                assert answer.status in (200, 201)
    return web.Response()

async def ready(request):
    return web.Response()

async def serve():
    app = web.Application()
    app["pool"] = await asyncpg.create_pool(os.environ["DSN"], min_size=2, max_size=8)
    app.router.add_post("/paid", paid)
    app.router.add_get("/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await asyncio.Event().wait()
"""
SCENARIO = """
from scenarios import Burst, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="A few duplicates", replicas=2,
    traffic=Traffic(orders=60, per_second=30, duplicates=Burst(copies=2, ids="distinct")),
    needs=Thresholds(overlapping_groups=10, lateness_p99_ms=2_000),
)
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Its folder; the modules `service` and `neighbour` in it must win over ours."""
    folder = tmp_path / "stranger"
    (folder / "service").mkdir(parents=True)
    (folder / "service" / "__init__.py").write_text("")
    (folder / "service" / "__main__.py").write_text(MAIN)
    (folder / "neighbour.py").write_text(NEIGHBOUR)
    (folder / "onceproof.toml").write_text(CONFIG)
    (folder / "few.py").write_text(SCENARIO)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("how", "status", "codes"), [("right", 0, set()), ("twice", 1, {"A1"})])
def test_a_strangers_service_is_run_as_the_stranger_would(
    stranger: Path, how: str, status: int, codes: set[str]
) -> None:
    runs = stranger.parent / "runs"
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "run", str(stranger / "few.py"), "--config",
         str(stranger / "onceproof.toml"), "--strategy", how, "--seed", "3", "--runs", str(runs)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    folder = RunFolder.find(runs)
    bundle = folder.load()
    assert len(bundle.history.by_order) == 60 + 1
    assert bundle.manifest.environment["baseline"] == {
        "status": 200, "committed_before_answer": True, "second_status": 200,
        "second": "effect again" if how == "twice" else "no effect",
    }  # fmt: skip
    assert set(json.loads(folder.verdict.read_bytes())["totals"]) == codes


def test_only_our_own_service_is_given_our_modules(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/the/users/own")
    theirs = load_config(stranger / "onceproof.toml")
    ours = load_config(ROOT / "service" / "onceproof.toml")
    assert theirs.environment({"A": "b"})["PYTHONPATH"] == "/the/users/own"
    assert "PYTHONSAFEPATH" not in theirs.environment({})
    assert (theirs.environment({"A": "b"})["A"], theirs.folder) == ("b", stranger.resolve())
    assert ours.environment({})["PYTHONPATH"] == str(ROOT)
