"""`onceproof serve`: the stored runs in a browser, from this machine and for this machine.

One page (`results.runs_page`) made anew for each request, and the files of the runs below it. Only
plain files with an expected ending are given, only from inside the runs folder, and only to a
request that names this machine as its host: a page of somebody else's in the same browser cannot
read runs by a name that it has pointed here.
"""

import asyncio
from pathlib import Path

import click
from aiohttp import web

from results.errors import HarnessError
from results.runs_page import runs_page

HOST = "127.0.0.1"
TYPES = {
    ".html": "text/html", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json",
    ".md": "text/plain", ".xml": "text/xml", ".jsonl": "text/plain", ".log": "text/plain",
}  # fmt: skip
HEADERS = {
    "Content-Security-Policy":
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}  # fmt: skip


async def serve_runs(runs: Path, port: int) -> int:
    """Serve until interrupted; HarnessError where the port is taken."""
    runner = web.AppRunner(application(runs), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise HarnessError(
                f"Port {port} of {HOST} cannot be had: {error.strerror}. Choose another --port."
            ) from None
        address = f"http://{HOST}:{runner.addresses[0][1]}"
        click.echo(f"{runs} at {address} until Ctrl-C", err=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
    return 0


def application(runs: Path) -> web.Application:
    """The page, and the files of the runs."""
    runs = runs.resolve()

    async def page(request: web.Request) -> web.Response:
        require_this_machine(request)
        text = await asyncio.to_thread(runs_page, runs)
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def file(request: web.Request) -> web.StreamResponse:
        require_this_machine(request)
        path = await asyncio.to_thread(inside, runs, request.match_info["path"])
        if path is None:
            raise web.HTTPNotFound(text="There is no such file of a run.\n")
        kind = f"{TYPES[path.suffix]}; charset=utf-8"
        return web.FileResponse(path, headers={**HEADERS, "Content-Type": kind})

    served = web.Application()
    served.add_routes([web.get("/", page), web.get("/runs/{path:.+}", file)])
    return served


def require_this_machine(request: web.Request) -> None:
    """HTTPForbidden for a request by another name."""
    name = request.host.rpartition(":")[0] or request.host
    if name not in (HOST, "localhost"):
        raise web.HTTPForbidden(text=f"Only as http://{HOST} or http://localhost.\n")


def inside(runs: Path, asked: str) -> Path | None:
    """The file asked for; None where it is not one of a run."""
    path = (runs / asked).resolve()  # links are followed before they are judged
    if not path.is_relative_to(runs) or path.suffix not in TYPES or not path.is_file():
        return None
    return path
