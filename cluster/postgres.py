"""One Postgres for one run: started in a tenth of a second, gone without a trace.

The data lies in a temporary folder of its own, because the user that runs the server (`nobody`,
when we are root) must be able to reach it; the journal knows that folder and the process, so that
`heal` can remove both. It listens on 127.0.0.1 only, on a free port, without a unix socket and
without a password: any user of this machine can reach it while the run lasts, and it holds test
data only. It inherits no variable of ours but those that find its libraries: what runs as another
user shows its environment to that user's other processes. Its log tells what it does and never
what it is told: statements, values and the details of errors stay out of it (a flight's SQLSTATE
is in the trace of the wire).

Durability is real: fsync, full_page_writes and synchronous_commit are on and written down in
`settings`, since a proof about COMMIT is worth nothing without them. A database given by the user
must permit it (`cluster.foreign`), and is only ever used to create a database of our own beside
it, which `stop` drops again.
"""

import asyncio
import contextlib
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil

from cluster.family import all_gone
from cluster.foreign import allowed
from cluster.journal import RUN_VARIABLE, Journal
from cluster.ports import free_port
from cluster.postgres_binaries import Binaries, find_binaries
from cluster.postgres_settings import REPORTED, configuration
from cluster.postgres_template import SUPERUSER, copy_template, data_parent, release_shared_memory
from results.errors import ClusterError

_DATABASE = "postgres"  # initdb's own: as fresh as the cluster, and it costs no CREATE DATABASE

_CONNECTIONS_MAX = 200
_START_SECONDS = 30.0
_STOP_SECONDS = 8.0
_CLOSE_SECONDS = 5.0
_POLL_SECONDS = 0.01
_PORT_TRIES = 3


class Postgres:
    """A running server, ours or the user's, with a fresh database in it."""

    def __init__(self, *, dsn: str, provider: str, version: str) -> None:
        parts = urlsplit(dsn)
        self.dsn = dsn
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 5432
        self.provider = provider
        self.version = version
        self.settings: dict[str, str] = {}
        self.started_in_seconds = 0.0
        self._admin_dsn = dsn
        self._process: subprocess.Popen[bytes] | None = None
        self._parent: Path | None = None
        self._again: Callable[[], Awaitable[subprocess.Popen[bytes]]] | None = None
        self._created: list[str] = []  # databases to drop from a server that is not ours

    @classmethod
    async def start(
        cls, *, journal: Journal, folder: Path, external_dsn: str | None = None
    ) -> Self:
        """Start a server (its log goes to `folder`/postgres.log), or use the one given."""
        begun = time.monotonic()
        if external_dsn is not None:
            server = await cls._external(external_dsn)
        else:
            server = await cls._embedded(journal, folder)
        server.started_in_seconds = time.monotonic() - begun
        return server

    async def fresh_database(self, name: str) -> str:
        """Create an empty database and return its DSN; ClusterError when it exists."""
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
            raise ClusterError(f"{name!r} is no name for a database: use a-z, 0-9 and _")
        connection = await _connect(self._admin_dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        except asyncpg.PostgresError as error:
            raise ClusterError(
                f"Postgres ({self.provider}) created no database {name!r}: {error}; "
                "give it a role with CREATEDB, or choose another name"
            ) from error
        finally:
            await connection.close(timeout=_CLOSE_SECONDS)
        if self._process is None:
            self._created.append(name)
        return _with_database(self._admin_dsn, name)

    async def stop(self) -> None:
        """End the server and remove its folder; on a foreign server drop what we created."""
        if self._process is None:
            await self._drop_created()
            return
        process, self._process = self._process, None
        await asyncio.to_thread(_end, process)
        if self._parent is not None:
            release_shared_memory(self._parent / "data")  # left only if it had to be killed
            await asyncio.to_thread(shutil.rmtree, self._parent, True)

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's server, with a login and perhaps with TLS."""
        return self.provider.startswith("external")

    @property
    def alive(self) -> bool:
        """False once a server of ours has ended for whatever reason."""
        return self._process is None or self._process.poll() is None

    async def crash(self) -> None:
        """SIGKILL the whole server, as a power cut would; only our own can be crashed."""
        if self._process is None:
            raise ClusterError("a database that onceproof did not start cannot be crashed")
        await asyncio.to_thread(_kill_tree, self._process)

    async def restart(self) -> None:
        """Start a crashed server again, on its port and its data: it recovers from its log."""
        if self._process is None or self._again is None or self.alive:
            raise ClusterError("only a server of ours that has ended can be started again")
        self._process = await self._again()

    @classmethod
    async def _external(cls, given: str) -> Self:
        url = await allowed(given)
        server = cls(dsn=url.dsn, provider=f"external {url.described}", version="")
        server.dsn = await server.fresh_database(f"onceproof_{secrets.token_hex(6)}")
        try:
            await server._read_settings()
        except BaseException:
            await server.stop()
            raise
        return server

    @classmethod
    async def _embedded(cls, journal: Journal, folder: Path) -> Self:
        binaries = await asyncio.to_thread(find_binaries)
        parent = data_parent(binaries, journal.create)
        data = parent / "data"
        copying = asyncio.create_task(asyncio.to_thread(copy_template, binaries, data))
        try:
            await asyncio.shield(copying)
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            for remaining in reversed(range(_PORT_TRIES)):
                server = await cls._attempt(
                    binaries, journal, data, folder / "postgres.log", last=remaining == 0
                )
                if server is not None:
                    server._parent = parent
                    break
            else:  # the last attempt raises
                raise AssertionError
        except BaseException:
            await asyncio.wait([copying])  # a thread cannot be stopped: remove what it made
            shutil.rmtree(parent, ignore_errors=True)
            raise
        try:
            await server._read_settings()
        except BaseException:
            await server.stop()
            raise
        return server

    @classmethod
    async def _attempt(
        cls, binaries: Binaries, journal: Journal, data: Path, log: Path, *, last: bool
    ) -> Self | None:
        """One start on one port; None when the port was taken and another may be tried."""
        port = free_port()
        server = cls(
            dsn=f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{_DATABASE}",
            provider=f"{binaries.provider}, {binaries.way}",
            version=binaries.version,
        )

        async def start() -> subprocess.Popen[bytes]:
            process = _launch(binaries, journal.owner, data, log, port)
            try:
                journal.spawned("postgres", process.pid)
                await _ready(server.dsn, process, data, log)
            except BaseException:
                _kill_tree(process)
                raise
            return process

        try:
            server._process = await start()
        except ClusterError:
            if not last and _port_taken(log):
                return None
            raise
        server._again = start
        return server

    async def _read_settings(self) -> None:
        connection = await _connect(self.dsn)
        try:
            rows = await connection.fetch(
                "SELECT name, current_setting(name) AS value FROM pg_settings"
                " WHERE name = ANY($1::text[])",
                list(REPORTED),
            )
        finally:
            await connection.close(timeout=_CLOSE_SECONDS)
        self.settings = {row["name"]: row["value"] for row in rows}
        self.version = self.settings.get("server_version", self.version).split()[0]

    async def _drop_created(self) -> None:
        while self._created:
            name = self._created.pop()
            connection = await _connect(self._admin_dsn)
            try:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            finally:
                await connection.close(timeout=_CLOSE_SECONDS)


def _launch(
    binaries: Binaries, owner: str, data: Path, log: Path, port: int
) -> subprocess.Popen[bytes]:
    """Write the configuration and start the server in a session of its own."""
    text = configuration(listen="127.0.0.1", port=port, connections_max=_CONNECTIONS_MAX)
    (data / "postgresql.auto.conf").write_text(text, encoding="utf-8")
    with log.open("ab") as output:
        return subprocess.Popen(
            binaries.command("postgres", "-D", str(data)),
            user=binaries.user,
            group=binaries.group,
            extra_groups=[] if binaries.user is not None else None,
            cwd=data,
            env=binaries.environment(**{RUN_VARIABLE: owner}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def _connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=5, command_timeout=20)


async def _ready(dsn: str, process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait until this very server answers; another one may sit on the port."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ClusterError(f"Postgres ended at once: {_last_line(log)}; its log is {log}")
        with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
            connection = await _connect(dsn)
            try:
                found = await connection.fetchval("SELECT current_setting('data_directory')")
            finally:
                await connection.close(timeout=_CLOSE_SECONDS)
            if Path(found) == data:
                return
        await asyncio.sleep(_POLL_SECONDS)
    raise ClusterError(f"Postgres did not answer within {_START_SECONDS:.0f} s; its log is {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; whoever does not follow in time is killed."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_tree(process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the server and its backends: each backend leads a process group of its own."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    process.wait(timeout=_STOP_SECONDS)
    all_gone(family, timeout_seconds=_STOP_SECONDS)


def _tail(log: Path) -> list[str]:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode("utf-8", "replace").splitlines()
    return []


def _last_line(log: Path) -> str:
    lines = [line for line in _tail(log) if "FATAL" in line] or _tail(log)
    return lines[-1] if lines else "it left no message"


def _port_taken(log: Path) -> bool:
    return any("could not create any TCP/IP sockets" in line for line in _tail(log))


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{quote(name)}"))
