"""`python -m cluster.witness --port 0 --file RUN/witness.jsonl --keys honours`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import click
from aiohttp import web

from cluster.witness.app import Witness
from cluster.witness.store import Store
from results.errors import ClusterError, OnceproofError


async def serve(host: str, port: int, file: Path, honours_keys: bool) -> None:
    """Listen until SIGTERM; says `ready <port>` on standard output when it does."""
    store = Store(file, honours_keys=honours_keys)
    witness = Witness(store, os.environ.get("ONCEPROOF_TOKEN", ""))
    runner = web.AppRunner(witness.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise ClusterError(f"Port {port} cannot be used: {error}. Try --port 0.") from None
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sys.stdout.write(f"ready {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await stopped.wait()
    await runner.cleanup()
    store.close()


@click.command()
@click.option("--port", type=int, default=0, show_default=True, help="0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--file", type=click.Path(path_type=Path), required=True, help="Where to record.")
@click.option("--keys", type=click.Choice(["honours", "ignores"]), default="honours")
def main(port: int, host: str, file: Path, keys: str) -> None:
    """Stand in for a fulfillment provider; the control token is $ONCEPROOF_TOKEN."""
    try:
        asyncio.run(serve(host, port, file, keys == "honours"))
    except OnceproofError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
