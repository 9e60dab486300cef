"""Group commit: what the end of a process at any point leaves, and two of them on the same rows."""

import asyncio
import random

import asyncpg
import pytest
from group_support import (
    DONE,
    DUPLICATE,
    GatedPool,
    answers,
    books,
    deliver,
    log,
    process_dies,
    webhook,
)
from interleaving import SHOP
from service_support import ORDER_ID

from service.database import open_pool
from service.pool import Pool


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_process_that_dies_loses_and_repeats_nothing(gated: GatedPool, point: str) -> None:
    """One batch is before its COMMIT or after it, another one waits; nobody was answered."""
    getattr(gated, point).clear()
    in_flush = deliver(gated, [webhook(n) for n in range(3)])
    for _ in range(1 if point == "before" else 2):
        await gated.reached.acquire()
    waiting = deliver(gated, [webhook(n) for n in range(3, 6)])
    await asyncio.sleep(0)
    await process_dies(gated, [*in_flush, *waiting])
    committed = 0 if point == "before" else 3
    assert await books(gated.raw) == (committed,) * 4
    successor = GatedPool(gated.raw)
    again = await answers(deliver(successor, [webhook(n) for n in range(6)]))
    assert again == [DUPLICATE] * committed + [DONE] * (6 - committed)
    assert await books(gated.raw) == (6, 6, 6, 6)


async def test_a_process_that_dies_in_the_flush_commits_all_or_nothing(
    gated: GatedPool, service_dsn: str
) -> None:
    """Its statement waits for a lock; the database goes on with it, or notices the death."""
    await gated.raw.execute(
        "INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'pending')", SHOP, ORDER_ID + 1
    )
    holder = await asyncpg.connect(service_dsn)
    await holder.execute("BEGIN")
    await holder.execute("SELECT 1 FROM orders FOR UPDATE")
    batch = deliver(gated, [webhook(n) for n in range(3)])
    async with asyncio.timeout(10):
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not await holder.fetchval(waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not any(task.done() for task in batch)
    await process_dies(gated, batch)
    await holder.execute("COMMIT")
    again = await answers(deliver(GatedPool(gated.raw), [webhook(n) for n in range(3)]))
    assert again in ([DONE] * 3, [DUPLICATE] * 3)
    assert await books(gated.raw) == (3, 3, 3, 3)
    await holder.close()


async def test_a_process_that_dies_between_two_answers_has_told_the_truth(pool: Pool) -> None:
    batch = deliver(pool, [webhook(n) for n in range(6)])
    done, pending = await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()  # before it could write
    assert {task.result() for task in done} == {DONE}
    assert await books(pool) == (6, 6, 6, 6)
    again = await answers(deliver(pool, [webhook(n) for n in range(6)]))
    assert again == [DUPLICATE] * 6


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_under_a_snapshot_the_loser_alone_sees_what_was_committed(
    service_dsn: str, isolation: str
) -> None:
    pool = open_pool(service_dsn, 4, "tests group", isolation)
    holder = await asyncpg.connect(service_dsn)
    for number, batch in ((0, [0]), (1, [1, 2])):
        await holder.execute("BEGIN")
        await holder.execute(
            "INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'paid')",
            SHOP, ORDER_ID + number,
        )  # fmt: skip
        waiting = deliver(pool, [webhook(one) for one in batch])
        async with asyncio.timeout(10):
            while not await holder.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await holder.execute("COMMIT")
        got = await answers(waiting)
        if len(batch) == 1:
            assert isinstance(got[0], asyncpg.SerializationError)
        else:
            assert got == [DUPLICATE, DONE]
    await holder.close()
    await pool.close(5)


@pytest.mark.parametrize("sku", ["ONCE-001", None], ids=["one-sku", "many-skus"])
async def test_batches_that_share_everything_do_not_deadlock(
    service_dsn: str, sku: str | None
) -> None:
    """Four processes get the same orders in different orders, again and again."""
    random.seed(7)
    pools = [open_pool(service_dsn, 1, "tests group") for _ in range(4)]
    everything = []
    for turn in range(5):
        for at, pool in enumerate(pools):
            webhooks = [
                webhook(turn * 100 + n, f"{turn}-{n}-{at % 2}", sku or f"ONCE-{n % 7 + 1:03}")
                for n in range(100)
            ]
            random.shuffle(webhooks)
            everything += deliver(pool, webhooks)
    got = await answers(everything)
    assert got.count(DONE) == 500
    assert got.count(DUPLICATE) == 1500
    assert await books(pools[0]) == (500, 500, 500, 500)
    assert len(await log(pools[0])) == 1000
    observer = await asyncpg.connect(service_dsn)
    for pool in pools:
        await pool.close(5)
    seen = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await observer.fetchval(seen) == 0
    await observer.close()


async def test_webhook_ids_that_several_orders_claim_do_not_deadlock(gated: GatedPool) -> None:
    """An id is only a header; two batches may hold the same ones, each with orders of its own."""
    await gated.raw.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$"
    )
    await gated.raw.execute(
        "CREATE TRIGGER linger BEFORE INSERT ON shopify_webhook_log"
        " FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    other = GatedPool(gated.raw)
    batches = [
        *deliver(gated, [webhook(n, f"{n}") for n in range(8)]),
        *deliver(other, [webhook(100 + n, f"{7 - n}", "ONCE-002") for n in range(8)]),
    ]
    assert await answers(batches) == [DONE] * 16
    assert (gated.statements, other.statements) == (1, 1)
    assert len(await log(gated.raw)) == 8
