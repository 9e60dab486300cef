"""What a run costs its machine: memory, open files, connections and disk, looked at now and then.

A leak of the service or of the harness shows in a long run as a line that does not become flat.
Processes are those that the journal names, with all their children; a role is the name up to its
number (web-0 and web-1 are "web"). Memory is what a process does not share with others, so that
Postgres' shared buffers do not count once a backend.

Limits: a process that ends between being listed and being asked is missing from that look.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from cluster.journal import read_journal_from
from cluster.ledgers import GONE
from results.errors import ClusterError
from results.footprint import Spawned
from results.records import Resources

DATABASE = """
    SELECT pg_database_size(current_database()) AS bytes,
           (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint AS log,
           (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND backend_type = 'client backend') AS connections
"""
ANSWER_SECONDS = 10.0


class ResourceMeter:
    """Looks at the processes, the folder and the database of one run."""

    def __init__(self, dsn: str, journal: Path, folder: Path) -> None:
        self._dsn = dsn
        self._journal = journal
        self._folder = folder
        self._running: list[Spawned] = []  # as far as the journal was read
        self._read_bytes = 0

    async def look(self) -> Resources:
        """One look. ClusterError when the database does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                database = await self._database()
        except (*GONE, TimeoutError, asyncpg.PostgresError) as error:
            raise ClusterError(f"The database was not asked for its size: {error}.") from None
        memory, files = await asyncio.to_thread(self._processes)
        written = await asyncio.to_thread(folder_bytes, self._folder)
        return Resources(
            at_ns=time.monotonic_ns(),
            memory_bytes=memory,
            open_files=files,
            connections=database["connections"] - 1,  # without this one
            disk_bytes={
                "run folder": written,
                "database": database["bytes"],
                "write-ahead log": database["log"],
            },
        )

    async def _database(self) -> Any:
        connection = await asyncpg.connect(
            self._dsn, timeout=5, server_settings={"application_name": "onceproof-resources"}
        )
        try:
            return await connection.fetchrow(DATABASE)
        finally:
            await connection.close(timeout=2)

    def _processes(self) -> tuple[dict[str, int], dict[str, int]]:
        memory: defaultdict[str, int] = defaultdict(int)
        files: defaultdict[str, int] = defaultdict(int)
        for role, process in self._listed():
            with contextlib.suppress(psutil.Error):
                used = process.memory_info()
                memory[role] += used.rss - getattr(used, "shared", 0)
                files[role] += process.num_fds()
        return dict(memory), dict(files)

    def _listed(self) -> Iterator[tuple[str, psutil.Process]]:
        yield "runner", psutil.Process()
        records, self._read_bytes = read_journal_from(self._journal, self._read_bytes)
        self._running += (record for record in records if isinstance(record, Spawned))
        running, self._running = self._running, []
        for record in running:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(record.pid)
                if abs(process.create_time() - record.created_at_seconds) > 0.1:
                    continue  # the pid belongs to somebody else by now
                self._running.append(record)
                for one in (process, *process.children(recursive=True)):
                    yield record.name.partition("-")[0], one


def folder_bytes(folder: Path) -> int:
    """The size of all files below; one that vanishes meanwhile counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
