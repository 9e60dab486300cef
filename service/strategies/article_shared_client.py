"""The published fix on one connection that all deliveries of the process share.

Statements take turns on it, as they do in the queue of a node-postgres client; transactions do
not. A BEGIN inside a transaction is only a warning, so deliveries under way are in one
transaction together: they see each other's uncommitted writes, the first COMMIT makes the
others' halves durable, the rest of those commits statement by statement, and one ROLLBACK takes
back what others have written. Their COMMIT then finds no transaction, which is a warning too and
answers COMMIT: they acknowledge what is not there, even though the command tag is checked. It
strikes orders that no duplicate ever came for. Nor does anybody keep the order of locks: several
orders in one transaction deadlock with other replicas, which rolls all of them back. No isolation
level helps: it is one session.

The connection is the pool's. The first delivery takes it, the last one under way gives it back.
"""

from asyncio import Lock
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from service.database import transaction
from service.pool import Pool
from service.provider import Provider
from service.strategies import Answer
from service.strategies.article import deliver
from service.webhook import Webhook


class SharedClient:
    """One connection; whoever comes runs a statement on it when its turn comes."""

    def __init__(self, pool: Pool) -> None:
        self.deliveries = 0
        self._pool = pool
        self._turn = Lock()
        self._connection: asyncpg.Connection | None = None

    @property
    def lost(self) -> bool:
        """Whether the connection was cut: deliveries to come need another one."""
        return self._connection is not None and self._connection.is_closed()

    async def execute(self, query: str, /, *args: object) -> str:
        """Run a statement in turn; the answer is its command tag."""
        async with self._turn:
            return await (await self._connected()).execute(query, *args)

    async def fetchval(self, query: str, /, *args: object) -> Any:
        """Run a statement in turn; the answer is the first value of its first row."""
        async with self._turn:
            return await (await self._connected()).fetchval(query, *args)

    async def give_back(self) -> None:
        """Return the connection to the pool."""
        if self._connection is not None:
            await self._pool.give_back(self._connection)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None:
            self._connection = await self._pool.take()
        return self._connection


_clients: dict[Pool, SharedClient] = {}


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """The article's steps, enclosed by a transaction that others are in as well."""
    async with _joined(pool) as client:
        try:
            return await deliver(webhook, client, transaction(client))
        except asyncpg.InFailedSQLTransactionError as error:  # by another delivery's mistake
            return Answer(500, f"failed: {error}")


@asynccontextmanager
async def _joined(pool: Pool) -> AsyncIterator[SharedClient]:
    client = _clients.get(pool)
    if client is None or client.lost:
        client = _clients[pool] = SharedClient(pool)
    client.deliveries += 1
    try:
        yield client
    finally:
        client.deliveries -= 1
        if not client.deliveries:
            if _clients.get(pool) is client:
                del _clients[pool]
            await client.give_back()
