"""What each strategy keeps and breaks, on a real Postgres."""

import asyncio
import json

import asyncpg
import pytest
from service_support import ORDER_ID, SHOP, FakeProvider, Running, order, start_app

from service.provider import Provider
from service.relay import ship_one


async def test_one_delivery_pays_ships_and_takes_stock(running: Running) -> None:
    assert await running.create(order()) == 200
    assert await running.paid(order()) == 200
    assert await running.counts() == {
        "paid": 1, "fulfillments": 1, "movements": 2, "taken": 3, "log": 1,
    }  # fmt: skip
    row = await running.pool.fetchrow("SELECT * FROM fulfillment_requests")
    assert json.loads(row["lines"]) == [
        {"sku": "ONCE-001", "quantity": 1},
        {"sku": "ONCE-002", "quantity": 2},
    ]
    if running.strategy == "article":
        assert row["idempotency_key"] == str(row["id"])
    if running.strategy == "insert_first":
        assert row["idempotency_key"] == f"{SHOP}:{ORDER_ID}:fulfil:v1"


async def test_a_later_duplicate_changes_nothing(running: Running) -> None:
    await running.create(order())
    assert await running.paid(order(), "one") == 200
    before = await running.counts()
    assert await running.paid(order(), "one") == 200
    assert await running.paid(order(), "two") == 200
    after = await running.counts()
    assert {**after, "log": 0} == {**before, "log": 0}


async def test_create_after_paid_does_not_undo_it(running: Running) -> None:
    await running.create(order())
    await running.paid(order())
    assert await running.create(order()) == 200
    assert (await running.counts())["paid"] == 1


async def test_orders_that_share_skus_do_not_deadlock(running: Running) -> None:
    skus = [f"ONCE-{n:03}" for n in range(1, 6)]
    bodies = [
        order(ORDER_ID + n, [(sku, 1) for sku in (skus if n % 2 else reversed(skus))])
        for n in range(200)
    ]
    await asyncio.gather(*(running.create(body) for body in bodies))
    assert set(await asyncio.gather(*(running.paid(body) for body in bodies))) == {200}
    assert await running.counts() == {
        "paid": 200, "fulfillments": 200, "movements": 1000, "taken": 1000, "log": 200,
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_insert_first_ships_once_under_concurrent_duplicates(running: Running) -> None:
    bodies = [order(ORDER_ID + n) for n in range(20)]
    deliveries = [
        running.paid(body, f"{n}-{copy // 2}") for n, body in enumerate(bodies) for copy in range(8)
    ]
    assert set(await asyncio.gather(*deliveries)) == {200}
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (20, 20, 60)


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_insert_first_does_not_pay_a_cancelled_order(running: Running) -> None:
    await running.create(order())
    await running.pool.execute("UPDATE orders SET status = 'cancelled'")
    assert await running.paid(order()) == 200
    assert (await running.counts())["fulfillments"] == 0


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_two_shops_may_share_an_order_id(running: Running) -> None:
    assert await running.paid(order()) == 200
    other = {"X-Shopify-Shop-Domain": "other.myshopify.com"}
    assert await running.paid(order(), **other) == 200
    assert (await running.counts())["fulfillments"] == 2


_WAITING_FOR_LOCKS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def _both_past_their_check(running: Running, ids: tuple[str, str]) -> list[int]:
    """Hold the order's row until both deliveries have read its status and wait to write."""
    await running.create(order())
    async with running.pool.acquire() as holder:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("SELECT 1 FROM orders FOR UPDATE")
        deliveries = [asyncio.create_task(running.paid(order(), one)) for one in ids]
        async with asyncio.timeout(10):
            while await holder.fetchval(_WAITING_FOR_LOCKS) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await holding.rollback()
        return sorted(await asyncio.gather(*deliveries))


@pytest.mark.parametrize("strategy", ["article"])
async def test_article_ships_twice_under_distinct_webhook_ids(running: Running) -> None:
    assert await _both_past_their_check(running, ("one", "two")) == [200, 200]
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (1, 2, 6)


@pytest.mark.parametrize("strategy", ["article"])
async def test_article_rolls_back_with_500_under_the_same_webhook_id(running: Running) -> None:
    assert await _both_past_their_check(running, ("one", "one")) == [200, 500]
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (1, 1, 3)
    assert await running.paid(order(), "one") == 200  # the retry heals it


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_insert_first_ships_once_when_both_wait_for_the_same_row(running: Running) -> None:
    assert await _both_past_their_check(running, ("one", "two")) == [200, 200]
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (1, 1, 3)


@pytest.mark.parametrize("strategy", ["naive"])
async def test_naive_ships_twice_when_both_pass_the_check(
    running: Running, provider: FakeProvider
) -> None:
    assert await _both_past_their_check(running, ("one", "two")) == [200, 200]
    assert len(provider.shipments) == 2


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_insert_first_is_one_statement_per_delivery(running: Running) -> None:
    statements: list[str] = []
    async with running.pool.acquire() as connection:
        await connection.fetchval("SELECT 1")
    await running.pool.expire_connections()

    async def listen(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(lambda record: statements.append(record.query))

    running.pool._init = listen  # the only way to log what the app's own pool sends
    await running.paid(order())
    await running.paid(order(ORDER_ID + 1))
    assert len(statements) == 2


async def test_connections_that_were_cut_are_replaced(running: Running, service_dsn: str) -> None:
    await running.create(order())
    admin = await asyncpg.connect(service_dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    async with asyncio.timeout(10):
        while (status := await running.paid(order())) != 200:
            assert status == 503
    assert (await running.counts())["paid"] == 1


async def test_relay_ships_with_the_rows_key_and_repeats_it_after_a_failure(
    service_dsn: str, provider: FakeProvider
) -> None:
    async with start_app(service_dsn, provider, "insert_first") as running:
        await running.paid(order())
        provider.fail_after_effect = 1
        async with Provider(provider.url) as client:
            assert await ship_one(running.pool, client)
            assert await running.pool.fetchval("SELECT sent_at FROM fulfillment_requests") is None
            async with asyncio.timeout(10):
                while not await ship_one(running.pool, client):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert not await ship_one(running.pool, client)
    key = f"{SHOP}:{ORDER_ID}:fulfil:v1"
    assert provider.calls == [(key, ORDER_ID)] * 2
    assert provider.shipments == {key: ORDER_ID}
