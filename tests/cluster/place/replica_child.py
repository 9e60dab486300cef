"""A replica for these tests: ready over HTTP, and in a transaction when it is told to be."""

import asyncio
import os
import signal
import sys

import asyncpg
from aiohttp import web


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

    async def commit(_: web.Request) -> web.Response:
        await connections[-1].execute("COMMIT")
        return web.Response()

    async def exit_badly(_: web.Request) -> web.Response:
        sys.stderr.write("the disk is on fire\n")
        sys.stderr.flush()
        os._exit(7)

    app = web.Application()
    app.router.add_get("/readyz", ready)
    app.router.add_post("/begin", begin)
    app.router.add_post("/commit", commit)
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
