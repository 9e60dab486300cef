"""Group commit: what is in a batch, whom it answers when, and whom a refusal strikes."""

import asyncio

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
    webhook,
)
from interleaving import SHOP
from service_support import ORDER_ID

from service.pool import Pool
from service.strategies import Answer, group


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
    monkeypatch.setattr(group, "BATCH_LINES_MAX", 4)
    assert await answers(deliver(gated, [webhook(n) for n in range(20, 40)])) == [DONE] * 20
    assert gated.statements == 3 + 5


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
