"""The pool: who waits, who is replaced, what is rolled back, and how it ends."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service import pool as pool_module
from service.database import open_pool
from service.pool import Pool


@pytest.fixture
async def pool(service_dsn: str) -> AsyncIterator[Pool]:
    pool = open_pool(service_dsn, 2, "tests pool")
    yield pool
    await pool.close(1)


async def _pid(pool: Pool) -> int:
    pid: int = await pool.fetchval("SELECT pg_backend_pid()")
    return pid


async def test_the_last_one_used_is_the_next_one(pool: Pool) -> None:
    first, second = await pool.take(), await pool.take()
    await pool.give_back(first)
    await pool.give_back(second)
    assert pool.opened == 2
    assert {await _pid(pool) for _ in range(5)} == {second.get_server_pid()}


async def test_who_waits_is_served_in_turn_or_told_in_time(pool: Pool) -> None:
    taken = [await pool.take() for _ in range(2)]
    served: list[int] = []

    async def wait(number: int) -> None:
        async with pool.acquire(10) as connection:
            served.append(number)
            await connection.fetchval("SELECT 1")

    waiting = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await pool.take(0.01)
    assert not served
    for connection in taken:
        await pool.give_back(connection)
    await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3]


async def test_who_gave_up_waiting_keeps_no_place(pool: Pool) -> None:
    taken = [await pool.take() for _ in range(2)]
    waiting = asyncio.create_task(pool.take(10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for connection in taken:
        await pool.give_back(connection)
    assert [await pool.take(0.5) for _ in range(2)]


async def test_a_connection_that_was_cut_is_replaced(pool: Pool, service_dsn: str) -> None:
    pids = set()
    taken = [await pool.take() for _ in range(2)]
    for connection in taken:
        pids.add(connection.get_server_pid())
        await pool.give_back(connection)
    admin = await asyncpg.connect(service_dsn)
    await admin.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(pids))
    await admin.close()
    async with asyncio.timeout(10):
        while pool.opened:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await _pid(pool) not in pids
    assert len([await pool.take(1) for _ in range(2)]) == 2  # no place was lost


async def test_a_database_that_is_not_there_costs_no_place() -> None:
    pool = open_pool("postgresql://postgres@127.0.0.1:9/none", 1, "tests pool")
    for _ in range(3):
        with pytest.raises(OSError):
            await pool.take(1)


async def test_what_was_left_open_is_rolled_back(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("UPDATE stock SET remaining = 7")
    assert await pool.fetchval("SELECT count(*) FROM stock WHERE remaining = 7") == 0
    assert pool.opened == 1


async def test_who_is_cancelled_in_a_statement_leaves_a_clean_connection(pool: Pool) -> None:
    async def sleep() -> None:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            await connection.execute("UPDATE stock SET remaining = 7")
            await connection.execute("SELECT pg_sleep(60)")

    sleeping = asyncio.create_task(sleep())
    await asyncio.sleep(0.2)
    sleeping.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(sleeping, return_exceptions=True)
        assert await pool.fetchval("SELECT count(*) FROM stock WHERE remaining = 7") == 0


async def test_what_does_not_answer_is_cut(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "ROLLBACK_TIMEOUT_SECONDS", 0.05)
    connection = await pool.take()
    sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.1)
    await pool.give_back(connection, unsure=True)
    assert connection.is_closed()
    await asyncio.gather(sleeping, return_exceptions=True)
    assert pool.opened == 0
    assert len([await pool.take(1) for _ in range(2)]) == 2


async def test_closing_waits_for_what_is_taken_and_cuts_what_stays(service_dsn: str) -> None:
    pool = open_pool(service_dsn, 2, "tests pool")
    connection = await pool.take()
    closing = asyncio.create_task(pool.close(10))
    await asyncio.sleep(0.05)
    assert not closing.done()
    assert await connection.fetchval("SELECT 1") == 1
    await pool.give_back(connection)
    await closing
    assert connection.is_closed()

    pool = open_pool(service_dsn, 2, "tests pool")
    connection = await pool.take()
    await pool.close(0.05)
    assert connection.is_closed()
