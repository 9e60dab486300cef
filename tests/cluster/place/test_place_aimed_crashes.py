"""Crashes at COMMIT and blind ones with everything real: replica, wire and Postgres."""

import asyncio

import aiohttp
import pytest

from cluster.faults import Aim, Crash, perform, take_aim
from cluster.faults.aim import CrashPoint
from results.errors import ClusterError
from tests.cluster.place.aimed import ORDER, Bench

SHAPES = pytest.mark.parametrize("shape", ["block", "statement", "function"])


@SHAPES
@pytest.mark.parametrize(
    ("point", "fate", "paid"),
    [("reply-lost", "committed", 1), ("commit-after-death", "committed", 1),
     ("commit-dropped", "aborted", 0)],
)  # fmt: skip
async def test_a_crash_at_commit_has_the_fate_that_its_name_says(
    bench: Bench, shape: str, point: CrashPoint, fate: str, paid: int
) -> None:
    work, park = await bench.park(shape)
    aim = await take_aim(bench.context, point, park)
    assert aim.backend is not None
    assert aim.backend.xid is not None

    evidence = await perform(Crash(bench.context, "crash-1", point, "web-0", aim))

    assert evidence.complete, evidence.missing
    assert (evidence.facts["fate"], evidence.facts["xid"]) == (fate, aim.backend.xid)
    if point == "reply-lost":
        assert evidence.facts["wrote_table"] == "public.paid"
    with pytest.raises(aiohttp.ClientError):
        await work
    assert await bench.paid() == paid


@SHAPES
async def test_the_loser_of_a_lost_reply_is_let_go_and_never_counted(
    bench: Bench, shape: str
) -> None:
    assert await bench.post(f"/pay/block/{ORDER}") == 200
    work, park = await bench.park(shape)

    with pytest.raises(ClusterError, match="had written nothing"):
        await take_aim(bench.context, "reply-lost", park)

    assert await asyncio.wait_for(work, 5) == 200
    assert await bench.context.replica("web-0") == bench.victim


@pytest.mark.parametrize(
    ("before", "landed"), [(("/begin",), True), (("/begin", "/commit"), False), (("/read",), False)]
)
async def test_a_blind_crash_has_landed_only_in_a_transaction_that_wrote(
    bench: Bench, before: tuple[str, ...], landed: bool
) -> None:
    for path in before:
        assert await bench.post(path) == 200
    evidence = await perform(Crash(bench.context, "crash-1", "blind", "web-0"))
    assert evidence.complete, evidence.missing
    assert evidence.facts["landed_in_transaction"] is landed


async def test_a_blind_crash_at_a_commit_under_way_has_not_landed_for_sure(bench: Bench) -> None:
    work, park = await bench.park("block")
    assert await bench.wire.release(park.hold_id, "hold-reply")
    evidence = await perform(Crash(bench.context, "crash-1", "blind", "web-0"))
    assert evidence.facts["landed_in_transaction"] is False
    assert await bench.wire.release(park.hold_id, "drop")
    with pytest.raises(aiohttp.ClientError):
        await work


async def test_an_aim_without_a_park_of_its_own_lets_go(bench: Bench) -> None:
    work, park = await bench.park("block")
    missed = Crash(bench.context, "crash-1", "commit-dropped", "web-9", Aim(park))
    assert not (await perform(missed)).complete
    assert await asyncio.wait_for(work, 5) == 200
