"""What each strategy does with real requests and their concurrency; schedules are elsewhere."""

import asyncio
import json
import tomllib
from pathlib import Path

import asyncpg
import pytest
from golden_table import RIGHT, RIGHT_WITH_A_ROW
from service_support import ORDER_ID, SHOP, FakeProvider, Running, order, start_app

from service.strategies import strategy_names


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
    by_itself = running.strategy in {"naive", "article_inline"}
    assert (row["sent_at"] is not None) == by_itself
    key_of_order, key_of_row = f"{SHOP}:{ORDER_ID}:fulfil:v1", str(row["id"])
    if running.strategy in RIGHT:
        assert row["idempotency_key"] == key_of_order
    elif not by_itself:
        assert row["idempotency_key"] in {key_of_order, key_of_row}


async def test_a_later_duplicate_changes_nothing(running: Running) -> None:
    await running.create(order())
    assert await running.paid(order(), "one") == 200
    before = await running.counts()
    assert await running.paid(order(), "one") == 200
    assert await running.paid(order(), "two") == 200
    after = await running.counts()
    assert {**after, "log": 0} == {**before, "log": 0}
    if running.strategy in RIGHT_WITH_A_ROW:
        duplicates = {"two": "duplicate_internal_status"} if running.strategy == "group" else {}
        assert await running.log() == {"one": "success", **duplicates}


async def test_create_after_paid_does_not_undo_it(running: Running) -> None:
    await running.create(order())
    await running.paid(order())
    assert await running.create(order()) == 200
    assert (await running.counts())["paid"] == 1


async def test_orders_that_share_skus_do_not_deadlock(running: Running) -> None:
    skus = [f"ONCE-{n:03}" for n in range(1, 6)]
    bodies = [
        order(ORDER_ID + n, [(sku, 1) for sku in (skus if n % 2 else reversed(skus))])
        for n in range(100)
    ]
    await asyncio.gather(*(running.create(body) for body in bodies))
    await asyncio.gather(*(_until_ok(running, body, f"{n}") for n, body in enumerate(bodies)))
    assert await running.counts() == {
        "paid": 100, "fulfillments": 100, "movements": 500, "taken": 500, "log": 100,
    }  # fmt: skip


async def _until_ok(running: Running, body: bytes, webhook_id: str) -> None:
    """Deliver as Shopify does, until there is a 2xx."""
    for _ in range(50):
        status, outcome = await running.paid_outcome(body, webhook_id)
        if status == 200:
            return
        # A machine that is slow may let the pool run out; nothing else may fail here.
        assert status == 503
        assert outcome == "try again: TimeoutError" or running.strategy == "serializable"
    raise AssertionError("never acknowledged")


@pytest.mark.parametrize("create_first", [True, False], ids=["there", "absent"])
@pytest.mark.parametrize("strategy", RIGHT)
async def test_a_storm_of_duplicates_ships_once(running: Running, create_first: bool) -> None:
    bodies = [order(ORDER_ID + n) for n in range(20)]
    if create_first:
        await asyncio.gather(*(running.create(body) for body in bodies))
    await asyncio.gather(
        *(_until_ok(running, body, f"{n}-{copy // 2}")
          for n, body in enumerate(bodies) for copy in range(8))
    )  # fmt: skip
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (20, 20, 60)


@pytest.mark.parametrize("strategy", RIGHT)
async def test_two_shops_may_share_an_order_id(running: Running) -> None:
    assert await running.paid(order()) == 200
    other = {"X-Shopify-Shop-Domain": "other.myshopify.com"}
    assert await running.paid(order(), **other) == 200
    assert (await running.counts())["fulfillments"] == 2


async def _waiting(observer: asyncpg.pool.PoolConnectionProxy, sessions: int) -> None:
    """Until so many sessions wait for a lock."""
    async with asyncio.timeout(10):
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while await observer.fetchval(waiting) < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _both_past_their_check(running: Running, ids: tuple[str, str]) -> list[int]:
    """Hold the order's row until both deliveries have read its status and wait to write."""
    await running.create(order())
    async with running.pool.acquire() as holder:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("SELECT 1 FROM orders FOR UPDATE")
        deliveries = [asyncio.create_task(running.paid(order(), one)) for one in ids]
        await _waiting(holder, 2)
        await holding.rollback()
        return sorted(await asyncio.gather(*deliveries))


@pytest.mark.parametrize("strategy", ["article"])
async def test_article_rolls_back_with_500_under_the_same_webhook_id(running: Running) -> None:
    assert await _both_past_their_check(running, ("one", "one")) == [200, 500]
    counts = await running.counts()
    assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (1, 1, 3)
    assert await running.paid(order(), "one") == 200  # the retry heals it


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("strategy", ["function", "insert_first"])
async def test_one_statement_ships_once_when_both_wait_for_the_same_row(
    service_dsn: str, provider: FakeProvider, strategy: str, isolation: str
) -> None:
    async with start_app(service_dsn, provider, strategy, isolation=isolation) as running:
        loser = 200 if isolation == "read committed" else 503
        assert await _both_past_their_check(running, ("one", "two")) == [200, loser]
        assert [await running.paid(order(), one) for one in ("one", "two")] == [200, 200]
        counts = await running.counts()
        assert (counts["paid"], counts["fulfillments"], counts["taken"]) == (1, 1, 3)


@pytest.mark.parametrize("strategy", ["naive"])
async def test_naive_ships_twice_when_both_pass_the_check(
    running: Running, provider: FakeProvider
) -> None:
    assert await _both_past_their_check(running, ("one", "two")) == [200, 200]
    assert len(provider.shipments) == 2


@pytest.mark.parametrize("strategy", ["naive", "article_inline"])
async def test_who_calls_the_provider_itself_repeats_the_call_under_another_key(
    running: Running, provider: FakeProvider
) -> None:
    await running.create(order())
    provider.fail_after_effect = 1
    assert await running.paid(order(), "one") == 503
    assert (await running.counts())["paid"] == 0
    assert await running.paid(order(), "one") == 200
    assert len(provider.shipments) == 2


@pytest.mark.parametrize("strategy", ["serializable"])
async def test_serializable_gives_up_after_its_retries(running: Running) -> None:
    await running.pool.execute(
        "CREATE SEQUENCE tries;"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  PERFORM nextval('tries'); RAISE EXCEPTION USING ERRCODE = 'serialization_failure';"
        "END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert await running.paid(order()) == 503
    assert await running.pool.fetchval("SELECT last_value FROM tries") == 4
    assert (await running.counts())["fulfillments"] == 0


async def test_dedupe_first_loses_an_order_that_shares_a_sku_under_repeatable_read(
    service_dsn: str, provider: FakeProvider
) -> None:
    async with start_app(
        service_dsn, provider, "dedupe_first", isolation="repeatable read"
    ) as running:
        await running.create(order())
        async with running.pool.acquire() as other:
            await other.execute("BEGIN")
            await other.execute("UPDATE stock SET remaining = remaining - 1")
            delivery = asyncio.create_task(running.paid(order(), "one"))
            await _waiting(other, 1)
            await other.execute("COMMIT")
            assert await delivery == 503
        assert await running.paid_outcome(order(), "one") == (200, "duplicate webhook")
        counts = await running.counts()
        assert (counts["paid"], counts["fulfillments"]) == (0, 0)


@pytest.mark.parametrize("strategy", ["insert_first"])
async def test_insert_first_is_one_statement_per_delivery(running: Running) -> None:
    statements: list[str] = []
    async with running.service_pool.acquire() as connection:  # the one that is used next
        connection.add_query_logger(lambda record: statements.append(record.query))
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


def test_the_description_names_every_strategy_and_the_default_last() -> None:
    file = Path(__file__).parents[2] / "service" / "onceproof.toml"
    described = list(tomllib.loads(file.read_text())["strategies"])
    assert sorted(described) == strategy_names(), f"each needs a line in {file}"
    assert described[-1] == "insert_first"
    ranks = [(name in RIGHT_WITH_A_ROW) + (name in RIGHT) for name in described]
    assert ranks == sorted(ranks), "first those that are wrong, then right with a row, then right"
