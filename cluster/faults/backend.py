"""What Postgres itself says of one backend and of the fate of its transaction.

The wire's word is not enough for a proof, so each fault asks the server, directly: which
transaction the backend was in when it was parked, whether the backend is gone, and what
`pg_xact_status` says of its transaction id. A transaction that has written nothing has no id and
therefore no fate.

What a transaction wrote is looked for by reading through the tables of the run's own database: a
few thousand rows. A row that another one has changed since no longer shows it.

Limits: `pg_xact_status` remembers recent transactions only, minutes at the least. Needs the right
to see other roles' rows of pg_stat_activity (a superuser, or pg_read_all_stats).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

_POLL_SECONDS = 0.01
_TABLES_MAX = 200  # read through for the rows of one transaction
DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Backend:
    """A row of pg_stat_activity."""

    pid: int
    started: datetime  # with the pid, names this backend for good
    state: str  # "active", "idle", "idle in transaction", ...
    transaction_started: datetime | None
    xid: str | None  # 32 bits, None until it has written

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open, whatever it waits for."""
        return self.transaction_started is not None

    def facts(self) -> dict[str, Any]:
        """For the journal."""
        begun = self.transaction_started
        return {
            "backend_pid": self.pid,
            "backend_state": self.state,
            "transaction_started": begun.isoformat() if begun else None,
            "xid": self.xid,
        }


class Server:
    """A connection of ours to ask through; short-lived."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def backend(self, pid: int) -> Backend | None:
        """What a backend does now; None when there is none of that pid."""
        row = await self._connection.fetchrow(
            "SELECT pid, backend_start, coalesce(state, '') AS state, xact_start,"
            " backend_xid::text AS xid FROM pg_stat_activity"
            " WHERE pid = $1 AND backend_type = 'client backend' AND datname = current_database()",
            pid,
        )
        if row is None:
            return None
        return Backend(
            row["pid"], row["backend_start"], row["state"], row["xact_start"], row["xid"]
        )

    async def gone(self, backend: Backend, *, timeout_seconds: float) -> bool:
        """True once this very backend has ended; False at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            now = await self.backend(backend.pid)
            if now is None or now.started != backend.started:
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)

    async def fate(self, xid: str, *, timeout_seconds: float) -> str:
        """ "committed", "aborted", or "in progress" still at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            # backend_xid lacks its epoch; the current snapshot's is the same.
            status = await self._connection.fetchval(
                "SELECT pg_xact_status((((pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
                " >> 32) << 32) + $1::text::bigint)::text::xid8)",
                xid,
            )
            if status != "in progress" or time.monotonic() >= deadline:
                return str(status)
            await asyncio.sleep(_POLL_SECONDS)

    async def written_table(self, xid: str) -> str | None:
        """A table that shows a row of a committed transaction; None when there is none."""
        tables = await self._connection.fetch(
            "SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name"
            " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
            " ORDER BY reltuples LIMIT $1",
            _TABLES_MAX,
        )
        for table in tables:
            found = await self._connection.fetchval(
                f"SELECT EXISTS (SELECT FROM ONLY {table['name']} WHERE xmin = $1::text::xid)", xid
            )
            if found:
                return str(table["name"])
        return None

    async def terminate(self, pid: int) -> bool:
        """End a backend of this database, never another's, as an administrator does."""
        return bool(
            await self._connection.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = $1 AND datname = current_database()",
                pid,
            )
        )


@contextlib.asynccontextmanager
async def server(dsn: str) -> AsyncIterator[Server]:
    """Connect for a few questions."""
    connection = await asyncpg.connect(
        dsn,
        timeout=5,
        command_timeout=5,
        server_settings={"application_name": "onceproof-evidence"},
    )
    try:
        yield Server(connection)
    finally:
        await connection.close(timeout=2)
