"""A Postgres that asks for a password, as somebody's server does, and permits its use."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg

from cluster.foreign import MARKER_SQL
from cluster.journal import Journal
from cluster.postgres import Postgres

PASSWORD = "correct horse/battery"
RULES = "host all guest 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[str]:
    """The URL of its one database, for a role that may create others."""
    with Journal(folder / "journal.jsonl") as journal:
        server = await Postgres.start(journal=journal, folder=folder)
        try:
            connection = await asyncpg.connect(server.dsn)
            rules = await connection.fetchval("SELECT current_setting('hba_file')")
            Path(rules).write_text(RULES)  # noqa: ASYNC240 - before anybody waits
            for statement in (
                f"CREATE ROLE guest LOGIN CREATEDB PASSWORD '{PASSWORD}'",
                "GRANT pg_read_all_stats TO guest",
                MARKER_SQL,
                "GRANT SELECT ON public.onceproof_allowed TO guest",
                "SELECT pg_reload_conf()",
            ):
                await connection.execute(statement)
            await connection.close()
            login = f"guest:{quote(PASSWORD, safe='')}@"
            yield server.dsn.replace("onceproof@", login)
        finally:
            await server.stop()
