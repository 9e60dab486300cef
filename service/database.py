"""How the database is reached, its schema, transactions, and which errors a retry heals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from importlib import resources
from typing import Any, Protocol

import asyncpg
import structlog

from service.pool import Pool

SCHEMA_LOCK = 0x0CE_5C4E_3A
CONNECT_TIMEOUT_SECONDS = 5.0
STATEMENT_TIMEOUT_SECONDS = 10.0
SCHEMA_DEADLINE_SECONDS = 60.0
RETRY_SECONDS = 0.1

# Read from the catalog's rows: to_regclass() may answer from this session's cache, which a
# session that has just waited for the lock has not refreshed.
_APPLIED = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables"
    " WHERE schemaname = current_schema() AND tablename = 'shopify_webhook_log')"
)

log = structlog.get_logger()

# A retry of the same delivery may succeed: answer 503 and let the sender come again.
TRANSIENT_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,  # the connection closed under us
    asyncpg.InternalClientError,  # asyncpg's word for a statement that met the closing
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, starting up, cancelled
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a fail-over is under way
    asyncpg.UndefinedTableError,  # the schema is not applied yet
)


class Session(Protocol):
    """Whatever runs one statement: a connection, or what some strategies use in its place."""

    async def execute(self, query: str, /, *args: object) -> str:
        """Run it; the answer is its command tag."""

    async def fetchval(self, query: str, /, *args: object) -> Any:
        """Run it; the answer is the first value of its first row, None without a row."""


class CommitError(Exception):
    """COMMIT did not commit: Postgres answers ROLLBACK, without an error, to an aborted one."""


def open_pool(url: str, size: int, name: str, isolation: str = "read committed") -> Pool:
    """A pool of at most `size` connections, none of them opened yet.

    `isolation` is the level of every transaction that does not name its own.
    """

    def connect() -> Awaitable[asyncpg.Connection]:
        return asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=STATEMENT_TIMEOUT_SECONDS,
            server_settings={"application_name": name, "default_transaction_isolation": isolation},
        )

    return Pool(connect, size)


async def apply_schema(pool: Pool) -> None:
    """Create the tables unless they exist; replicas that start together take turns."""
    text = resources.files("service").joinpath("schema.sql").read_text("utf-8")
    async with pool.acquire() as connection:
        # Looking first keeps a restarted replica from queueing behind anything.
        if await connection.fetchval(_APPLIED):
            return
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            if not await connection.fetchval(_APPLIED):
                await connection.execute(text)


async def apply_schema_when_reachable(
    pool: Pool, deadline_seconds: float = SCHEMA_DEADLINE_SECONDS
) -> None:
    """Apply the schema, waiting a bounded time for a database that is still starting."""
    async with asyncio.timeout(deadline_seconds):
        while True:
            try:
                return await apply_schema(pool)
            except TRANSIENT_ERRORS as error:
                log.warning("database not ready", error=repr(error))
                await asyncio.sleep(RETRY_SECONDS)


@contextlib.asynccontextmanager
async def transaction(session: Session, begin: str = "BEGIN") -> AsyncIterator[None]:
    """COMMIT what was done in the context, or ROLLBACK when it raised."""
    await session.execute(begin)
    try:
        yield
        await commit(session)
    except Exception:
        await rollback(session)
        raise


async def commit(session: Session) -> None:
    """COMMIT and believe only its command tag."""
    tag = await session.execute("COMMIT")
    if tag != "COMMIT":
        raise CommitError(f"COMMIT answered {tag}")


async def rollback(session: Session) -> None:
    """ROLLBACK; if the connection is gone, its transaction is gone too."""
    with contextlib.suppress(*TRANSIENT_ERRORS):
        await session.execute("ROLLBACK")
