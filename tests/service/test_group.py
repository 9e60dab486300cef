"""Group commit: what is in a batch, whom it answers when, and what its end at any point leaves."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import asyncpg
import pytest
from interleaving import SHOP
from service_support import ORDER_ID

from service.database import open_pool
from service.pool import Pool
from service.strategies import Answer, group
from service.webhook import Line, Webhook

DONE = Answer(200, "fulfillment requested")
DUPLICATE = Answer(200, "duplicate order")


class GatedPool:
    """A pool whose statements wait at two gates: before they are sent, after they committed."""

    def __init__(self, raw: Pool) -> None:
        self.raw = raw
        self.before, self.after = asyncio.Event(), asyncio.Event()
        self.before.set()
        self.after.set()
        self.statements = 0
        self.loses_from = 10**9  # from this statement on the answer is lost
        self.reached = asyncio.Semaphore(0)  # one for each gate that was come to

    def acquire(self) -> "GatedPool":
        return self

    async def __aenter__(self) -> "GatedPool":
        self.connection = await self.raw.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.raw.give_back(self.connection)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        self.statements += 1
        self.reached.release()
        await self.before.wait()
        answer = await self.connection.fetchval(query, *arguments)
        self.reached.release()
        await self.after.wait()
        if self.statements >= self.loses_from:
            raise asyncpg.ConnectionDoesNotExistError("lost")
        return answer


def webhook(number: int, webhook_id: str = "", sku: str = "ONCE-001", shop: str = SHOP) -> Webhook:
    webhook_id = webhook_id or f"{number}-a"
    return Webhook(webhook_id, "orders/paid", shop, ORDER_ID + number, "1.00", (Line(sku, 1),))


@pytest.fixture
async def pool(service_dsn: str) -> AsyncIterator[Pool]:
    pool = open_pool(service_dsn, 4, "tests group")
    yield pool
    await pool.close(5)


@pytest.fixture
async def gated(pool: Pool) -> Any:
    return GatedPool(pool)


def deliver(pool: Any, webhooks: Iterable[Webhook]) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(group.handle(one, pool, None)) for one in webhooks]  # type: ignore[arg-type]


async def answers(tasks: Iterable[asyncio.Task[Answer]]) -> list[Answer | BaseException]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def books(pool: Pool) -> tuple[int, int, int, int]:
    """Paid orders, fulfillments, units moved, units gone."""
    return tuple(
        await pool.fetchrow(
            "SELECT (SELECT count(*) FROM orders WHERE status = 'paid'),"
            " (SELECT count(*) FROM fulfillment_requests),"
            " (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_movements),"
            " (SELECT sum(initial - remaining)::bigint FROM stock)"
        )
    )  # type: ignore[return-value,arg-type]


async def log(pool: Pool) -> dict[str, str]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT webhook_id, status FROM shopify_webhook_log")
    return {row["webhook_id"]: row["status"] for row in rows}


async def process_dies(gated: GatedPool, tasks: Iterable[asyncio.Task[Answer]]) -> None:
    """Its connection ends and nothing of it says another word."""
    gated.connection.terminate()
    others = {one for one in asyncio.all_tasks() if "_flush_all" in repr(one.get_coro())}
    for task in (*tasks, *others):
        task.cancel()
    await asyncio.gather(*tasks, *others, return_exceptions=True)


async def test_what_comes_during_a_commit_is_the_next_batch(gated: GatedPool) -> None:
    gated.after.clear()
    first = deliver(gated, [webhook(0)])
    await gated.reached.acquire()
    rest = deliver(gated, [webhook(n) for n in range(1, 50)])
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*first, *rest))
    gated.after.set()
    assert await answers([*first, *rest]) == [DONE] * 50
    assert gated.statements == 2
    assert await books(gated.raw) == (50, 50, 50, 50)


async def test_copies_in_one_batch_are_one_order_and_all_their_ids_are_logged(pool: Pool) -> None:
    same = [webhook(1, "x"), webhook(1, "y"), webhook(1, "x"), webhook(2, "z")]
    assert await answers(deliver(pool, same)) == [DONE, DUPLICATE, DUPLICATE, DONE]
    assert await log(pool) == {
        "x": "success", "y": "duplicate_internal_status", "z": "success",
    }  # fmt: skip
    assert await answers(deliver(pool, [webhook(1, "w"), webhook(1, "x")])) == [DUPLICATE] * 2
    assert (await log(pool))["w"] == "duplicate_internal_status"
    assert await books(pool) == (2, 2, 2, 2)


async def test_two_shops_in_one_batch_may_share_an_order_id(pool: Pool) -> None:
    both = [webhook(1, "x"), webhook(1, "y", shop="other.myshopify.com")]
    assert await answers(deliver(pool, both)) == [DONE, DONE]
    assert await books(pool) == (2, 2, 2, 2)


async def test_a_cancelled_order_stays_so_among_others(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'cancelled')",
        SHOP, ORDER_ID + 1,
    )  # fmt: skip
    got = await answers(deliver(pool, [webhook(0), webhook(1), webhook(1, "b"), webhook(2)]))
    cancelled = Answer(200, "order cancelled")
    assert got == [DONE, cancelled, cancelled, DONE]
    assert await log(pool) == {"0-a": "success", "2-a": "success"}
    assert await books(pool) == (2, 2, 2, 2)


async def test_an_unknown_sku_moves_nothing(pool: Pool) -> None:
    assert await answers(deliver(pool, [webhook(0, sku="ONCE-é"), webhook(1)])) == [DONE, DONE]
    assert await books(pool) == (2, 2, 1, 1)


AT_ONCE = ("TRIGGER refuse BEFORE INSERT", "")
AT_COMMIT = ("CONSTRAINT TRIGGER refuse AFTER INSERT", "DEFERRABLE INITIALLY DEFERRED")


async def _refuse(pool: Pool, number: int, moment: tuple[str, str], code: str = "P0001") -> None:
    """From now on the database refuses one order, when it is written or when it is committed."""
    trigger, deferrable = moment
    await pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.order_id = {ORDER_ID + number} THEN"
        f" RAISE EXCEPTION USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
    )
    await pool.execute(
        f"CREATE {trigger} ON orders {deferrable} FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("moment", [AT_ONCE, AT_COMMIT], ids=["at-once", "at-commit"])
async def test_a_poisoned_order_fails_nobody_else(pool: Pool, moment: tuple[str, str]) -> None:
    """At the COMMIT: whoever answers before that has told the poisoned one that it is done."""
    await _refuse(pool, 7, moment)
    got = await answers(deliver(pool, [webhook(n) for n in range(20)]))
    assert isinstance(got[7], asyncpg.RaiseError)
    assert got[:7] + got[8:] == [DONE] * 19
    assert await books(pool) == (19, 19, 19, 19)
    assert len(await log(pool)) == 19


async def test_who_loses_to_others_is_tried_alone_and_only_once(gated: GatedPool) -> None:
    await _refuse(gated.raw, 1, AT_ONCE, code="40P01")
    got = await answers(deliver(gated, [webhook(0), webhook(1), webhook(2)]))
    assert isinstance(got[1], asyncpg.DeadlockDetectedError)
    assert [got[0], got[2]] == [DONE, DONE]
    assert gated.statements == 1 + 3


@pytest.mark.parametrize("batch", [1, 20])
async def test_a_lost_connection_is_no_reason_to_try_again(gated: GatedPool, batch: int) -> None:
    """It may have committed; here it has, and nobody heard so."""
    gated.loses_from = 1
    webhooks = [webhook(n) for n in range(batch)]
    got = await answers(deliver(gated, webhooks))
    assert {type(one) for one in got} == {asyncpg.ConnectionDoesNotExistError}
    assert gated.statements == 1
    gated.loses_from = 10**9
    assert await answers(deliver(gated, webhooks)) == [DUPLICATE] * batch
    assert await books(gated.raw) == (batch,) * 4


async def test_a_database_that_goes_away_is_not_waited_for_by_each(gated: GatedPool) -> None:
    await _refuse(gated.raw, 1, AT_ONCE)
    gated.loses_from = 4
    got = await answers(deliver(gated, [webhook(n) for n in range(20)]))
    assert got[0] == DONE
    assert isinstance(got[1], asyncpg.RaiseError)
    assert {type(one) for one in got[2:]} == {asyncpg.ConnectionDoesNotExistError}
    assert gated.statements == 4


async def test_a_full_queue_is_a_503(gated: GatedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "WAITING_MAX", 3)
    gated.before.clear()
    first = deliver(gated, [webhook(0)])
    await gated.reached.acquire()
    rest = deliver(gated, [webhook(n) for n in range(1, 6)])
    await asyncio.sleep(0)
    gated.before.set()
    assert [answer.status for answer in await answers([*first, *rest])] == [200] * 4 + [503] * 2  # type: ignore[union-attr]
    assert await books(gated.raw) == (4, 4, 4, 4)


async def test_a_batch_is_bounded(gated: GatedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "BATCH_MAX", 8)
    assert await answers(deliver(gated, [webhook(n) for n in range(20)])) == [DONE] * 20
    assert gated.statements == 3


async def test_a_client_that_has_gone_harms_nobody(gated: GatedPool) -> None:
    gated.before.clear()
    first = deliver(gated, [webhook(0)])
    await gated.reached.acquire()
    rest = deliver(gated, [webhook(n) for n in range(1, 6)])
    await asyncio.sleep(0)
    first[0].cancel()  # in the flush
    rest[2].cancel()  # before its flush
    gated.before.set()
    got = await answers(rest)
    assert got[:2] + got[3:] == [DONE] * 4
    assert await answers(deliver(gated, [webhook(0), webhook(3)])) == [DUPLICATE] * 2
    assert await books(gated.raw) == (6, 6, 6, 6)


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
