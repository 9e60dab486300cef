"""A replica for these tests: ready over HTTP, and in a transaction when it is told to be."""

import asyncio
import os
import signal
import sys

import asyncpg
from aiohttp import web

DECIDE = """INSERT INTO paid (id, status) VALUES ($1, 'paid')
    ON CONFLICT (id) DO UPDATE SET status = 'paid' WHERE paid.status = 'pending'"""


async def main() -> None:
    connections: list[asyncpg.Connection] = []

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready")

    async def begin(_: web.Request) -> web.Response:
        connection = await asyncpg.connect(os.environ["DATABASE_URL"])
        connections.append(connection)
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO effects VALUES ('written')")
        return web.json_response({"backend_pid": connection.get_server_pid()})

    async def read(_: web.Request) -> web.Response:
        connection = await asyncpg.connect(os.environ["DATABASE_URL"])
        connections.append(connection)
        await connection.execute("BEGIN")
        await connection.execute("SELECT FROM effects FOR UPDATE")
        return web.Response()

    async def commit(_: web.Request) -> web.Response:
        await connections[-1].execute("COMMIT")
        return web.Response()

    async def pay(request: web.Request) -> web.Response:
        connection = await asyncpg.connect(os.environ["DATABASE_URL"])
        order = int(request.match_info["order"])
        match request.match_info["shape"]:
            case "block":
                await connection.execute("BEGIN")
                await connection.execute(DECIDE, order)
                await connection.execute("COMMIT")
            case "block-that-skips":
                await connection.execute("BEGIN")
                await connection.execute(
                    "INSERT INTO paid VALUES ($1, 'paid') ON CONFLICT DO NOTHING", order
                )
                await connection.execute("COMMIT")
            case "statement":
                await connection.fetchval(
                    f"WITH decided AS ({DECIDE} RETURNING id) SELECT EXISTS (SELECT FROM decided)",
                    order,
                )
            case "function":
                await connection.fetchval("SELECT pay($1)", order)
        return web.Response()

    async def exit_badly(_: web.Request) -> web.Response:
        sys.stderr.write("the disk is on fire\n")
        sys.stderr.flush()
        os._exit(7)

    app = web.Application()
    app.router.add_get("/readyz", ready)
    app.router.add_post("/begin", begin)
    app.router.add_post("/commit", commit)
    app.router.add_post("/read", read)
    app.router.add_post("/pay/{shape}/{order}", pay)
    app.router.add_post("/exit", exit_badly)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
