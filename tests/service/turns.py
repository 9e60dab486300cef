"""A pool and a provider whose every step waits for its turn: what a stage plays deliveries with.

A step is a statement (BEGIN counts with the next one) or a call of the provider. Whoever is no
actor, such as a later redelivery, passes without waiting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from service.pool import Pool
from service.strategies import Answer
from service.webhook import Webhook

here: ContextVar["Actor | None"] = ContextVar("actor", default=None)


@dataclass(eq=False)
class Actor:
    """One delivery that is under way."""

    webhook: Webhook
    moved: asyncio.Event
    go: asyncio.Event = field(default_factory=asyncio.Event)
    waits_for_turn: bool = False
    answering: bool = False  # all that is left to do is the answer
    blocked: bool = False
    task: asyncio.Task[None] | None = None
    tasks: set[asyncio.Task[Any] | None] = field(default_factory=set)  # all that took a turn
    pid: int = 0
    shows: bool = False  # others may see what it has done since they last looked
    answer: Answer | None = None  # what the sender got

    @property
    def status(self) -> int | None:
        return self.answer and self.answer.status

    @property
    def done(self) -> bool:
        return self.task is not None and self.task.done()

    @property
    def settled(self) -> bool:
        return self.done or self.waits_for_turn or self.blocked


async def turn() -> None:
    """Wait until the schedule lets this delivery take its next step; free outside of one."""
    actor = here.get()
    if actor is None:
        return
    actor.tasks.add(asyncio.current_task())
    actor.waits_for_turn = True
    actor.moved.set()
    await actor.go.wait()
    actor.go.clear()


async def step(raw: Any, method: str, query: str, *args: object) -> Any:
    """Run a statement on the driver's connection, and remember on which, and whether it shows."""
    actor = here.get()
    if actor is not None and not raw.is_closed():
        actor.pid = raw.get_server_pid()
    try:
        return await getattr(raw, method)(query, *args)
    finally:
        if actor is not None:
            actor.shows |= not _in_transaction(raw)


def _in_transaction(raw: asyncpg.Connection) -> bool:
    return not raw.is_closed() and bool(raw.is_in_transaction())


class SteppedConnection:
    """A connection of the pool whose every statement is a step."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def is_closed(self) -> bool:
        return bool(self.raw.is_closed())

    async def execute(self, query: str, *args: object) -> Any:
        if not query.startswith("BEGIN"):
            await turn()
        return await step(self.raw, "execute", query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        await turn()
        return await step(self.raw, "fetchval", query, *args)


class SteppedPool:
    """The service's pool as one process has it, with a turn before each statement."""

    def __init__(self, raw: Pool, held: dict[Any, Actor | None]) -> None:
        self.raw = raw
        self.held = held  # connection: who took it

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[SteppedConnection]:
        connection = await self.take()
        try:
            yield connection
        finally:
            await self.give_back(connection)

    async def take(self) -> SteppedConnection:
        connection = SteppedConnection(await self.raw.take())
        self.held[connection.raw] = here.get()
        return connection

    async def give_back(self, connection: SteppedConnection) -> None:
        del self.held[connection.raw]
        await self.raw.give_back(connection.raw)

    async def execute(self, query: str, *args: object) -> Any:
        await turn()
        async with self.raw.acquire() as raw:
            return await step(raw, "execute", query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        await turn()
        async with self.raw.acquire() as raw:
            return await step(raw, "fetchval", query, *args)


class SteppedProvider:
    """A provider that honours keys; each call of it is a step."""

    def __init__(self) -> None:
        self.effects: dict[str, int] = {}  # key: order

    async def ship(self, shop: str, order_id: int, lines: Sequence[Any], key: str) -> None:
        await turn()
        self.effects.setdefault(key, order_id)

    def count(self, order_id: int) -> int:
        return sum(one == order_id for one in self.effects.values())
