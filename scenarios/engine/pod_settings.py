"""The settings of a database of the user's that decide how long a crash is felt.

A Postgres that does not look after its clients runs the statement of a dead one to its end, and
keeps its locks so long. A pooler in between gives a session to several clients: nothing that is
seen on one connection can be ascribed to one replica then, so it is refused.
"""

import asyncpg

from results.errors import ConfigError
from scenarios.engine.doctor import Finding

ANSWER_SECONDS = 10.0
SETTINGS = {
    "client_connection_check_interval": "a dead client's statement runs to its end",
    "idle_in_transaction_session_timeout": "a silent client's transaction keeps its locks for ever",
}


async def database_settings(url: str) -> list[Finding]:
    """Each setting that matters, and whether a pooler is in between."""
    try:
        connection = await asyncpg.connect(url, timeout=ANSWER_SECONDS)
    except (OSError, asyncpg.PostgresError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"The database of --database-url did not answer: {type(error).__name__}. Is it up, and "
            "reachable from this machine?"
        ) from None
    try:
        found: list[Finding] = []
        for name, otherwise in SETTINGS.items():
            value = await connection.fetchval("SELECT current_setting($1, true)", name)
            off = value in (None, "0", "")
            found.append((name, True, f"off: {otherwise}" if off else str(value)))
        told, real = (
            connection.get_server_pid(),
            await connection.fetchval("SELECT pg_backend_pid()"),
        )
        words = (
            "none in between"
            if told == real
            else (
                "one is in between (it names another backend than Postgres does): "
                "give the database's own address"
            )
        )
        return [*found, ("pooler", told == real, words)]
    finally:
        await connection.close(timeout=ANSWER_SECONDS)
