"""orders/cancelled before, after and in the middle of orders/paid."""

import asyncpg
import pytest
from golden_table import RIGHT_WITH_A_ROW, STRATEGIES
from interleaving import ALL, Stage
from service_support import FakeProvider, Running, order, start_app

from service.database import open_pool
from service.orders import cancel_unless_paid
from service.pool import Pool
from service.provider import Provider
from service.relays.skip_locked import ship_one
from service.strategies import Answer, load_strategy
from service.webhook import Webhook

BLIND = sorted(set(STRATEGIES) - set(RIGHT_WITH_A_ROW))
NOTHING = {"paid": 0, "fulfillments": 0, "movements": 0, "taken": 0, "log": 0}


async def _shipments(running: Running, provider: FakeProvider) -> int:
    async with Provider(provider.url) as client:
        while await ship_one(running.service_pool, client):
            pass
    return len(provider.shipments)


@pytest.mark.parametrize("known", [True, False], ids=["created", "unknown"])
@pytest.mark.parametrize("strategy", RIGHT_WITH_A_ROW)
async def test_a_cancelled_order_is_not_shipped(
    running: Running, provider: FakeProvider, known: bool
) -> None:
    if known:
        await running.create(order())
    assert await running.cancel(order()) == 200
    for webhook_id in ("one", "one", "two"):
        assert await running.paid_outcome(order(), webhook_id) == (200, "order cancelled")
    assert await running.create(order()) == 200
    assert await running.counts() == NOTHING
    assert await running.pool.fetchval("SELECT status FROM orders") == "cancelled"
    assert await _shipments(running, provider) == 0


@pytest.mark.parametrize("strategy", BLIND)
async def test_the_blind_ones_ship_a_cancelled_order(
    running: Running, provider: FakeProvider
) -> None:
    await running.create(order())
    assert await running.cancel(order()) == 200
    assert await running.paid(order()) == 200
    assert (await running.counts())["paid"] == 1
    assert await _shipments(running, provider) == 1


async def test_a_paid_order_stays_paid(running: Running) -> None:
    await running.create(order())
    await running.paid(order())
    before = await running.counts()
    assert await running.cancel(order()) == 200
    assert await running.counts() == before
    assert before["paid"] == 1


async def test_a_cancellation_is_authenticated(service_dsn: str, provider: FakeProvider) -> None:
    async with start_app(service_dsn, provider, "insert_first") as running:
        assert await running.cancel(order(), **{"X-Shopify-Hmac-Sha256": "x"}) == 401
        assert await running.pool.fetchval("SELECT count(*) FROM orders") == 0


@pytest.mark.parametrize("row", [True, False], ids=["there", "absent"])
@pytest.mark.parametrize("name", RIGHT_WITH_A_ROW)
async def test_a_cancellation_at_any_step_cancels_all_or_nothing(
    service_dsn: str, name: str, row: bool
) -> None:
    told: list[str] = []
    ends = set()

    async def cancel(webhook: Webhook, pool: Pool, _: Provider) -> Answer:
        answer = await cancel_unless_paid(webhook, pool)
        told.append(answer.outcome)
        return answer

    pool = open_pool(service_dsn, 4, "tests stage")
    observer = await asyncpg.connect(service_dsn)
    stage = Stage(load_strategy(name), pool, observer, same_id=False, row=row)
    for steps in range(ALL):
        order_id = await stage.new_order()
        paid = stage.start(order_id, f"{order_id}-paid")
        await stage.settle((paid,))
        took = await stage.advance(paid, (paid,), steps)
        both = (paid, stage.start(order_id, f"{order_id}-cancelled", cancel))
        await stage.settle(both)
        for actor in (*reversed(both), *both[1:]):
            await stage.advance(actor, both, ALL)
        assert [actor.status for actor in both] == [200, 200]
        seen = await stage.look(both)
        parts = seen["fulfillments"], seen["movements"], bool(seen["log"])
        ends.add((told.pop(), seen["status"], *parts, await stage.shipped(paid)))
        if took < steps:
            break
    await observer.close()
    await pool.close(5)

    all_of_it = ("order already paid", "paid", 1, 1, True, 1)
    nothing = ("order cancelled", "cancelled", 0, 0, False, 0)
    match name, row:
        case "optimistic", False:
            assert ends == {nothing}  # no row that could be paid
        case "for_update", False:  # nothing was locked: paid over a cancellation (A10)
            assert ends == {all_of_it, nothing, ("order cancelled", *all_of_it[1:])}
        case _:
            assert ends == {all_of_it, nothing}
