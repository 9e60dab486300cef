"""Connections to the database that stay with the process: a last-in, first-out list of free ones.

A pool that resets each connection when it comes back costs a delivery of one statement a round
trip more than the statement; one that wraps each connection costs as much again in Python. Nothing
here changes session state, so nothing is reset: taking a free connection and giving it back is a
pop and an append. The one used last is used next, so as few are open as the load needs.

Connections are opened when they are needed, so the service starts before its database does, and a
connection that was cut is found closed when it is taken and replaced by a new one. One that comes
back inside a transaction, or from a delivery that was cancelled or ran out of time, is rolled back
first, or cut if it does not answer. Whoever waits for a connection is served in turn.

Limits: a connection whose end nobody has told this machine of looks free; the statement that meets
it runs into its own time limit.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

ACQUIRE_TIMEOUT_SECONDS = 5.0
ROLLBACK_TIMEOUT_SECONDS = 5.0

# Whatever a rollback may answer that leaves the connection of no use.
_USELESS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Connect = Callable[[], Awaitable[asyncpg.Connection]]


class Pool:
    """At most `size` connections, opened by `connect`; all of it belongs to one event loop."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self._size = size
        self._slots = asyncio.Semaphore(size)
        self._free: list[asyncpg.Connection] = []
        self._open: set[asyncpg.Connection] = set()

    @property
    def opened(self) -> int:
        """How many connections there are, free ones and taken ones."""
        return sum(not connection.is_closed() for connection in self._open)

    def acquire(self, timeout: float = ACQUIRE_TIMEOUT_SECONDS) -> "Loan":
        """A context that has a connection for as long as it lasts; raises as `take` does."""
        return Loan(self, timeout)

    async def take(self, timeout: float = ACQUIRE_TIMEOUT_SECONDS) -> asyncpg.Connection:
        """A connection, to be given back; TimeoutError if there is none after `timeout` seconds.

        What connecting raises is passed on: OSError, or asyncpg's errors.
        """
        until = asyncio.get_running_loop().time() + timeout
        if not self._slots.locked():
            await self._slots.acquire()  # does not wait
        else:
            async with asyncio.timeout_at(until):
                await self._slots.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed():
                    return connection
                self._open.discard(connection)
            async with asyncio.timeout_at(until):
                connection = await self._connect()
        except BaseException:
            self._slots.release()
            raise
        self._open.add(connection)
        return connection

    async def give_back(self, connection: asyncpg.Connection, *, unsure: bool = False) -> None:
        """Let others have it; `unsure` if a statement may still be under way on it."""
        try:
            if not connection.is_closed() and (unsure or connection.is_in_transaction()):
                await _roll_back(connection)
        finally:
            if connection.is_closed():
                self._open.discard(connection)
            else:
                self._free.append(connection)
            self._slots.release()

    async def execute(self, query: str, /, *args: object) -> str:
        """Run one statement on some connection; the answer is its command tag."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    async def fetchval(self, query: str, /, *args: object) -> Any:
        """Run one statement on some connection; the first value of its first row."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    async def fetchrow(self, query: str, /, *args: object) -> asyncpg.Record | None:
        """Run one statement on some connection; its first row."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def close(self, timeout_seconds: float) -> None:
        """Close all when they have come back; those still taken at the deadline are cut."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                for _ in range(self._size):
                    await self._slots.acquire()
                for connection in self._free:
                    await connection.close()
        for connection in self._open:
            connection.terminate()
        self._open.clear()


class Loan:
    """One connection, taken when the context is entered and given back when it is left."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: Pool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await self._pool.take(self._timeout)
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        unsure = kind is not None and issubclass(kind, (TimeoutError, asyncio.CancelledError))
        await self._pool.give_back(self._connection, unsure=unsure)


async def _roll_back(connection: asyncpg.Connection) -> None:
    """Back to no transaction, after whatever is still being cancelled; or cut it."""
    done = False
    try:
        with contextlib.suppress(*_USELESS):
            async with asyncio.timeout(ROLLBACK_TIMEOUT_SECONDS):
                await connection.execute("ROLLBACK")
                done = True
    finally:
        if not done:
            connection.terminate()
