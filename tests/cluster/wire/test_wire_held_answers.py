"""A held COMMIT that goes on as its held answer: committed, and nobody has heard so."""

import asyncio
from typing import Any

import asyncpg
import pytest

from results.errors import HarnessError
from results.records import HoldTrace
from tests.cluster.wire.conftest import Bench, eventually
from tests.cluster.wire.test_wire_gates import LOST, SHAPES, arm, implicit, in_transaction, parked


@SHAPES
@pytest.mark.parametrize("action", ["pass", "drop"])
async def test_a_held_commit_goes_on_as_its_held_answer(
    bench: Bench, shape: Any, action: Any
) -> None:
    await arm(bench, "before-commit")
    async with bench.client() as client:
        work = asyncio.create_task(shape(client))
        park = await parked(bench, "before-commit", work)
        assert await in_transaction(bench, park)
        assert await bench.count() == 0

        assert await bench.wire.release(park.hold_id, "hold-reply") is True

        assert await bench.count() == 1
        assert not await in_transaction(bench, park)
        await asyncio.wait([work], timeout=0.1)
        assert not work.done()
        assert await bench.wire.release(park.hold_id, action) is True
        if action == "pass":
            await asyncio.wait_for(work, 5)
        else:
            with pytest.raises(LOST):
                await work

    def both() -> Any:
        holds = [t for t in bench.traces() if isinstance(t, HoldTrace)]
        return holds if len(holds) == 2 else None

    first, second = await eventually(both)
    assert (first.point, first.release, first.perturbed) == ("before-commit", "hold-reply", False)
    assert (second.point, second.release, second.perturbed) == ("reply", action, False)
    assert first.hold_id == second.hold_id


async def test_a_commit_that_fails_has_no_answer_to_hold(bench: Bench) -> None:
    await arm(bench, "before-commit")
    async with bench.client() as client:
        await client.execute(
            "DROP TABLE IF EXISTS late;"
            " CREATE TABLE late (id bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )

        async def work() -> None:
            async with client.transaction():
                await client.execute("INSERT INTO late VALUES (1), ($1)", 1)

        task = asyncio.create_task(work())
        park = await parked(bench, "before-commit", task)

        assert await bench.wire.release(park.hold_id, "hold-reply") is False

        with pytest.raises(asyncpg.UniqueViolationError):
            await asyncio.wait_for(task, 5)
        assert await client.fetchval("SELECT 1") == 1


async def test_a_held_answer_can_outlive_its_client_and_its_lease_ends(bench: Bench) -> None:
    await arm(bench, "before-commit", lease_seconds=0.5)
    async with bench.client() as client:
        work = asyncio.create_task(implicit(client))
        park = await parked(bench, "before-commit", work)
        assert await bench.wire.release(park.hold_id, "hold-reply") is True
        client.terminate()
        with pytest.raises(LOST):
            await work

    def ended() -> list[HoldTrace]:
        return [t for t in bench.traces() if isinstance(t, HoldTrace) and t.point == "reply"]

    (hold,) = await eventually(ended)
    assert (hold.release, hold.perturbed) == ("client-eof", True)
    assert await bench.count() == 1


async def test_only_a_held_commit_can_go_on_as_its_answer(bench: Bench) -> None:
    await arm(bench, "before", sql="wired")
    async with bench.client() as client:
        work = asyncio.create_task(client.fetch("SELECT id FROM wired"))
        park = await parked(bench, "before", work)
        with pytest.raises(HarnessError, match="cannot go on"):
            await bench.wire.release(park.hold_id, "hold-reply")
        assert await bench.wire.release(park.hold_id, "pass") is True
        await asyncio.wait_for(work, 5)
