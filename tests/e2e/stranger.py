"""A small service of somebody's, which does what HOW says, and its onceproof.toml."""

from pathlib import Path

CONFIG = """
[service]
name = "stranger"
webhook = "/paid"
ready = "/ready"
ready_seconds = 3
secret_from = "SECRET"
database_from = "DSN"
provider_from = "SHIPPER"
strategy_from = "HOW"
schema = ["{python}", "schema.py"]
[service.roles]
web = ["{python}", "web.py"]
[strategies]
right = "one statement decides"
[ledger]
orders = "SELECT shop, order_id, status FROM bought"
"""

SCHEMA = """
import asyncio, asyncpg, os
from web import database
async def prepare():
    db = await asyncpg.connect(**database())
    await db.execute("CREATE TABLE bought (shop text, order_id bigint, status text,"
                     " PRIMARY KEY (shop, order_id))")
asyncio.run(prepare())
"""

WEB = """
import asyncio, base64, hmac, json, os, sys, uuid
import aiohttp, asyncpg
from aiohttp import web
from urllib.parse import parse_qsl, urlsplit

HOW = os.environ.get("HOW", "right")
FIXED = 0

def database():
    if len(sys.argv) > 1 and sys.argv[1] != "schema":
        return {"dsn": json.load(open(sys.argv[1]))["url"]}
    if "JDBC" in os.environ:
        url = urlsplit(os.environ["JDBC"].removeprefix("jdbc:"))
        given = dict(parse_qsl(url.query))
        return {"host": url.hostname, "port": url.port, "database": url.path[1:],
                "user": given["user"], "password": given["password"]}
    return {} if "PGHOST" in os.environ else {"dsn": os.environ["DSN"]}

async def work(app, shop, order):
    if HOW == "late":
        await asyncio.sleep(0.4)
    async with app["pool"].acquire() as db, db.transaction():
        if HOW == "hangs":
            await db.execute("SELECT pg_sleep(60)")
        if HOW == "needs-row":
            new = await db.fetchval("UPDATE bought SET status = 'paid' WHERE order_id = $1"
                                    " AND status = 'pending' RETURNING 1", order["id"])
        else: new = await db.fetchval("INSERT INTO bought VALUES ($1, $2, 'paid')"
                                " ON CONFLICT DO NOTHING RETURNING 1", shop, order["id"])
    if new or HOW == "twice":
        key = str(uuid.uuid4()) if HOW == "twice" else f"{shop}:{order['id']}"
        lines = [{"sku": one["sku"], "quantity": one["quantity"]} for one in order["line_items"]]
        ask = {"shop": shop, "order_id": order["id"], "lines": lines}
        async with aiohttp.ClientSession() as client:
            async with client.post(os.environ["SHIPPER"], json=ask,
                                   headers={"Idempotency-Key": key}) as answer:
                assert answer.status in (200, 201)

async def paid(request):
    body = await request.read()
    secret = "another" if HOW == "other-secret" else os.environ["SECRET"]
    digest = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    given = request.headers.get("X-Shopify-Hmac-Sha256", "")
    if HOW != "unsigned" and not hmac.compare_digest(digest, given):
        return web.Response(status=401)
    arguments = request.app, request.headers["X-Shopify-Shop-Domain"], json.loads(body)
    if HOW == "broken":
        raise RuntimeError("it is broken")
    if HOW == "idle":
        return web.Response()
    if HOW == "late":
        request.app["late"] = asyncio.create_task(work(*arguments))
    else:
        await work(*arguments)
    return web.Response()

async def ready(request):
    return web.Response(status=503 if HOW == "never-ready" else 200)

async def open_pool():
    if HOW == "slow":
        await asyncio.sleep(1.5)
    if HOW == "past-the-wire":
        dsn = os.environ["DSN"]
        db = await asyncpg.connect(dsn)
        port = await db.fetchval("SELECT inet_server_port()")
        await db.close()
        return await asyncpg.create_pool(dsn, port=port, host="127.0.0.1", min_size=2)
    return await asyncpg.create_pool(
        **database(), min_size=0 if HOW == "idle" else 2, max_size=8
    )

async def serve():
    if HOW == "exits":
        sys.exit("no licence was found")
    app = web.Application()
    app["late"] = None
    app["pool"] = await open_pool()
    app.router.add_post("/paid", paid)
    app.router.add_get("/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ.get("PORT", FIXED))).start()
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(serve())
"""


def write_stranger(folder: Path, *, config: str = CONFIG, web: str = WEB) -> Path:
    """Its folder's onceproof.toml."""
    folder.mkdir(parents=True)
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "web.py").write_text(web)
    (folder / "onceproof.toml").write_text(config)
    return folder / "onceproof.toml"
