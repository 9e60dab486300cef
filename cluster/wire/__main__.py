"""`python -m cluster.wire --upstream 127.0.0.1:5432 --control-port 0 --file RUN/wire.jsonl`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import click
import uvloop

from cluster.wire.server import WireServer
from cluster.wire.trace import Trace


async def serve(
    upstream: str, control_host: str, control_port: int, shared: tuple[str, int] | None, file: Path
) -> None:
    """Run until SIGTERM; says `ready <control port>` on standard output when it listens."""
    trace = Trace(file)
    server = WireServer(upstream, trace, os.environ["ONCEPROOF_TOKEN"], host=control_host)
    port = await server.listen(control_port)
    if shared is not None:
        await server.share(*shared)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    flushing = asyncio.create_task(server.flush_forever())
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    await stopped.wait()
    flushing.cancel()
    server.close()
    trace.close()


@click.command()
@click.option("--upstream", required=True, help="host:port of Postgres, or its socket folder:port.")
@click.option("--control-port", type=int, default=0, show_default=True, help="0: any free one.")
@click.option("--control-host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--listen", help="host:port for all replicas, told apart by their addresses.")
@click.option("--file", type=click.Path(path_type=Path), required=True, help="Where to trace.")
def main(
    upstream: str, control_port: int, control_host: str, listen: str | None, file: Path
) -> None:
    """Stand between a service and its Postgres; the control token is $ONCEPROOF_TOKEN."""
    host, _, port = upstream.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError(f"--upstream {upstream}: expected host:port or folder:port")
    shared = None
    if listen is not None:
        shared_host, _, shared_port = listen.rpartition(":")
        if not shared_host or not shared_port.isdigit():
            raise click.UsageError(f"--listen {listen}: expected host:port")
        shared = (shared_host, int(shared_port))
    if not os.environ.get("ONCEPROOF_TOKEN"):
        raise click.UsageError("ONCEPROOF_TOKEN is not set: the control needs a token")
    uvloop.run(serve(upstream, control_host, control_port, shared, file))


if __name__ == "__main__":
    main()
