"""`python -m cluster.wire --upstream 127.0.0.1:5432 --control-port 0 --file RUN/wire.jsonl`.

Without `--upstream` the database is that of the URL in $ONCEPROOF_UPSTREAM, whose password belongs
on no command line, and the wire logs in there by itself.
"""

import asyncio
import gc
import os
import signal
import ssl
import sys
from pathlib import Path

import click
import uvloop

from cluster.wire.server import WireServer
from cluster.wire.trace import Trace
from cluster.wire.upstream import Upstream, trust


async def serve(
    upstream: Upstream, control_host: str, control_port: int, shared: tuple[str, int] | None,
    file: Path,
) -> None:  # fmt: skip
    """Run until SIGTERM; says `ready <control port>` on standard output when it listens."""
    trace = Trace(file)
    server = WireServer(upstream, trace, os.environ["ONCEPROOF_TOKEN"], host=control_host)
    port = await server.listen(control_port)
    if shared is not None:
        await server.share(*shared)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    gc.freeze()  # a collection walks what is new, not all modules; it would stop every round trip
    flushing = asyncio.create_task(server.flush_forever())
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    await stopped.wait()
    flushing.cancel()
    server.close()
    trace.close()


@click.command()
@click.option("--upstream", help="host:port of Postgres, or its socket folder:port.")
@click.option("--control-port", type=int, default=0, show_default=True, help="0: any free one.")
@click.option("--control-host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--listen", help="host:port for all replicas, told apart by their addresses.")
@click.option(
    "--upstream-tls", is_flag=True, help="Speak TLS to Postgres, as sslmode=require does."
)
@click.option(
    "--upstream-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="And verify it by this authority, as sslmode=verify-full does.",
)
@click.option("--file", type=click.Path(path_type=Path), required=True, help="Where to trace.")
def main(
    upstream: str | None, control_port: int, control_host: str, listen: str | None,
    upstream_tls: bool, upstream_ca: Path | None, file: Path,
) -> None:  # fmt: skip
    """Stand between a service and its Postgres; the control token is $ONCEPROOF_TOKEN."""
    database = read_upstream(upstream, trust(upstream_ca) if upstream_tls or upstream_ca else None)
    shared = None
    if listen is not None:
        shared_host, _, shared_port = listen.rpartition(":")
        if not shared_host or not shared_port.isdigit():
            raise click.UsageError(f"--listen {listen}: expected host:port")
        shared = (shared_host, int(shared_port))
    if not os.environ.get("ONCEPROOF_TOKEN"):
        raise click.UsageError("ONCEPROOF_TOKEN is not set: the control needs a token")
    uvloop.run(serve(database, control_host, control_port, shared, file))


def read_upstream(address: str | None, tls: ssl.SSLContext | None) -> Upstream:
    """Where the database is, by an address or by the URL of the environment."""
    if address is None:
        url = os.environ.get("ONCEPROOF_UPSTREAM")
        if not url:
            raise click.UsageError("--upstream: expected it, or a URL in ONCEPROOF_UPSTREAM")
        try:
            return Upstream.read(url)
        except ValueError as error:
            raise click.UsageError(f"ONCEPROOF_UPSTREAM: {error}") from None
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError(f"--upstream {address}: expected host:port or folder:port")
    return Upstream(address, tls)


if __name__ == "__main__":
    main()
