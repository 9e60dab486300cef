"""What counts as a write and as a step, and a replica whose end is kept from Postgres."""

import asyncio

import pytest

from cluster.wire.rules import Point
from tests.cluster.wire.conftest import ORDER, WEBHOOK, Bench, eventually
from tests.cluster.wire.test_wire_gates import INSERT, arm, parked


@pytest.mark.parametrize("point", ["before-commit", "reply"])
async def test_the_commit_of_a_block_that_only_read_is_let_go(bench: Bench, point: Point) -> None:
    await arm(bench, point)
    async with bench.client() as client:

        async def read_then_write() -> None:
            async with client.transaction():
                await client.fetch("SELECT * FROM wired WHERE id = $1", ORDER)
            async with client.transaction():
                await client.fetch("SELECT count(*) FROM wired")
                await client.execute(INSERT, ORDER, WEBHOOK)

        work = asyncio.create_task(read_then_write())
        park = await parked(bench, point, work)
        state = (await bench.wire.state()).connections[0].state
        assert state == ("T" if point == "before-commit" else "I")
        assert await bench.count() == (1 if point == "reply" else 0)
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(work, 5)


async def test_a_call_of_somebodys_function_may_write(bench: Bench) -> None:
    async with bench.client(None) as direct:
        await direct.execute(
            "CREATE OR REPLACE FUNCTION fulfil(bigint) RETURNS void LANGUAGE sql AS"
            " 'INSERT INTO wired (id) VALUES ($1)'"
        )
    await arm(bench, "before-commit")
    async with bench.client() as client:
        work = asyncio.create_task(client.fetch("SELECT fulfil($1)", ORDER))
        park = await parked(bench, "before-commit", work)
        assert await bench.count() == 0
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(work, 5)
    assert await bench.count() == 1


async def test_the_nth_step_is_counted_within_its_transaction(bench: Bench) -> None:
    await arm(bench, "before", step=3)
    async with bench.client() as client:

        async def work() -> None:
            await client.fetch("SELECT 1 FROM wired")
            for number in (1, 2):
                async with client.transaction():  # BEGIN is no step
                    for step in range(2 + number):
                        await client.fetch(f"SELECT 'step {step}' FROM wired WHERE id = $1", number)

        task = asyncio.create_task(work())
        park = await parked(bench, "before", task)
        assert park.sql == ("SELECT ‹…› FROM wired WHERE id = $1",)
        assert (await bench.wire.state()).connections[0].state == "T"
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(task, 5)


async def test_a_silenced_replica_is_not_missed_by_postgres(bench: Bench) -> None:
    async with bench.client() as client:
        await client.execute("BEGIN")
        await client.execute(INSERT, ORDER, WEBHOOK)
        pid = client.get_server_pid()
        await bench.wire.silence("web-0", True)
        (connection,) = (await bench.wire.state()).connections
        client._transport.abort()  # terminate() would say goodbye
        end = await bench.wire.wait_end("web-0", connection.connection, timeout_seconds=5)
        assert end is not None
        assert end.in_written_transaction

    async def sessions() -> int:
        async with bench.client(None) as direct:
            return int(
                await direct.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE pid = $1 AND state LIKE 'idle in%'",
                    pid,
                )
            )

    assert await sessions() == 1
    await bench.wire.silence("web-0", False)

    async def gone() -> bool:
        return await sessions() == 0

    await eventually(gone)
    assert await bench.count() == 0
