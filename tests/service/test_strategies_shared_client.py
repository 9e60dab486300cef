"""What deliveries on one connection do to an order that is none of theirs (A14, then A2)."""

import asyncio
import contextlib

import asyncpg
import pytest
from interleaving import ALL, Stage
from service_support import ORDER_ID, Running, order

from service.database import open_pool
from service.strategies import article_shared_client, load_strategy

UP_TO_THE_COMMIT = 7


async def _order(observer: asyncpg.Connection, order_id: int) -> tuple[str, int]:
    row = await observer.fetchrow(
        "SELECT status, (SELECT count(*) FROM fulfillment_requests f WHERE f.order_id = $1)"
        " FROM orders WHERE order_id = $1",
        order_id,
    )
    assert row is not None
    return row[0], row[1]


async def test_a_duplicate_of_one_order_undoes_another_that_is_acknowledged(
    service_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(article_shared_client, "Lock", contextlib.nullcontext)
    pool = open_pool(service_dsn, 2, "tests stage")
    observer = await asyncpg.connect(service_dsn)
    handle = load_strategy("article_shared_client")
    stage = Stage(handle, pool, observer, same_id=True, row=True, one_process=True)
    twice, bystander = await stage.new_order(), await stage.new_order()
    actors = []
    for order_id, webhook_id in ((twice, "w"), (twice, "w"), (bystander, "v")):
        actors.append(stage.start(order_id, webhook_id))
        await stage.settle(actors)
    first, duplicate, other = actors
    await stage.advance(first, actors, 2)
    await stage.advance(duplicate, actors, 2)  # both have found their order unpaid
    await stage.advance(other, actors, UP_TO_THE_COMMIT)
    await stage.advance(first, actors, UP_TO_THE_COMMIT - 2)
    for actor in (duplicate, other, first):
        await stage.advance(actor, actors, ALL)
    assert [actor.status for actor in actors] == [200, 500, 200]
    assert await _order(observer, bystander) == ("pending", 0)
    assert await _order(observer, twice) == ("pending", 0)
    await observer.close()
    await pool.close(5)


async def test_who_comes_after_the_connection_was_cut_gets_another(
    service_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(article_shared_client, "Lock", contextlib.nullcontext)
    pool = open_pool(service_dsn, 2, "tests stage")
    observer = await asyncpg.connect(service_dsn)
    handle = load_strategy("article_shared_client")
    stage = Stage(handle, pool, observer, same_id=True, row=True, one_process=True)
    order_id = await stage.new_order()
    first = stage.start(order_id, "one")
    await stage.settle((first,))
    await stage.advance(first, (first,), 3)
    (connection,) = stage.held
    connection.terminate()
    second = stage.start(order_id, "two")
    both = (first, second)
    await stage.settle(both)
    assert len(stage.held) == 2
    await stage.advance(second, both, ALL)
    await stage.advance(first, both, ALL)
    assert [actor.status for actor in both] == [503, 200]
    assert not stage.held
    assert await _order(observer, order_id) == ("paid", 1)
    await observer.close()
    await pool.close(5)


@pytest.mark.parametrize("strategy", ["article_shared_client"])
async def test_many_deliveries_take_one_connection(running: Running) -> None:
    await asyncio.gather(*(running.paid(order(ORDER_ID + n)) for n in range(50)))
    assert running.service_pool.opened == 1
    for _ in range(8):  # given back
        await running.service_pool.take()
