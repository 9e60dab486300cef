"""Rules, holds and the three crash points of COMMIT, on a real Postgres."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cluster.wire.client import Wire
from cluster.wire.rules import Park, Point, Rule
from results.errors import ClusterError, HarnessError
from results.records import ConnectionTrace, StatementTrace
from tests.cluster.wire.conftest import ORDER, TOKEN, WEBHOOK, Bench, eventually, started_wire

INSERT = "INSERT INTO wired (id, note) VALUES ($1, $2)"
LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


async def explicit(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute(INSERT, ORDER, WEBHOOK)


async def implicit(connection: Any) -> None:
    await connection.fetch(INSERT + " RETURNING id", ORDER, WEBHOOK)


async def parked(bench: Bench, point: Point, work: asyncio.Task[Any]) -> Park:
    park = await bench.wire.next_park("r", timeout_seconds=10)
    assert park is not None, work
    assert (park.point, park.replica) == (point, "web-0")
    return park


async def arm(bench: Bench, point: Point, **more: Any) -> None:
    await bench.wire.arm(Rule(rule_id="r", point=point, **{"lease_seconds": 20.0, **more}))


async def in_transaction(bench: Bench, park: Park) -> bool:
    async with bench.client(None) as direct:
        row = await direct.fetchrow(
            "SELECT state, backend_xid FROM pg_stat_activity WHERE pid = $1", park.backend_pid
        )
    return row["state"] in ("idle in transaction", "active") and row["backend_xid"] is not None


SHAPES = pytest.mark.parametrize("shape", [explicit, implicit])


@SHAPES
async def test_a_commit_that_is_dropped_has_not_happened(bench: Bench, shape: Any) -> None:
    await arm(bench, "before-commit")
    async with bench.client() as client:
        work = asyncio.create_task(shape(client))
        park = await parked(bench, "before-commit", work)
        assert str(ORDER) in park.keys
        assert WEBHOOK in park.keys
        assert await in_transaction(bench, park)

        assert await bench.wire.release(park.hold_id, "drop") is True

        with pytest.raises(LOST):
            await work
    assert await bench.count() == 0
    hold = await bench.hold_trace(park.hold_id)
    assert (hold.release, hold.perturbed) == ("drop", False)


@SHAPES
async def test_a_commit_that_passes_has_happened_when_release_returns(
    bench: Bench, shape: Any
) -> None:
    await arm(bench, "before-commit")
    async with bench.client() as client:
        work = asyncio.create_task(shape(client))
        park = await parked(bench, "before-commit", work)
        assert await bench.count() == 0

        await bench.wire.release(park.hold_id, "pass")

        assert await bench.count() == 1
        await asyncio.wait_for(work, 5)


@SHAPES
async def test_an_answer_that_is_dropped_leaves_a_commit_nobody_heard_of(
    bench: Bench, shape: Any
) -> None:
    await arm(bench, "reply")
    async with bench.client() as client:
        work = asyncio.create_task(shape(client))
        park = await parked(bench, "reply", work)
        assert await bench.count() == 1
        assert not work.done()

        await bench.wire.release(park.hold_id, "drop")

        with pytest.raises(LOST):
            await work
    assert await bench.count() == 1

    def unheard() -> list[StatementTrace]:
        return [
            t for t in bench.traces() if isinstance(t, StatementTrace) and t.hold_id == park.hold_id
        ]

    (trace,) = await eventually(unheard)
    assert trace.replied_ns is not None
    assert trace.returned_ns is None


CHILD = """
import asyncio, asyncpg, sys
async def main():
    connection = await asyncpg.connect(sys.argv[1])
    if sys.argv[2] == "explicit":
        await connection.execute("BEGIN")
    await connection.execute("INSERT INTO wired (id) VALUES ($1)", int(sys.argv[3]))
    await connection.execute("COMMIT")
asyncio.run(main())
"""


@pytest.mark.parametrize("shape", ["explicit", "implicit"])
async def test_a_commit_forwarded_after_its_senders_death_happens(bench: Bench, shape: str) -> None:
    await arm(bench, "before-commit")
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", CHILD, bench.dsn("web-0"), shape, str(ORDER)]
    )
    try:
        park = await bench.wire.next_park("r", timeout_seconds=15)
        assert park is not None
    finally:
        killed_ns = time.monotonic_ns()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    end = await bench.wire.wait_end("web-0", park.connection, timeout_seconds=5)
    assert end is not None
    assert end.at_ns >= killed_ns
    assert await bench.count() == 0

    assert await bench.wire.release(park.hold_id, "pass") is True

    assert await bench.count() == 1
    assert (await bench.hold_trace(park.hold_id)).release == "pass"


async def test_a_lease_that_ends_passes_and_is_marked(bench: Bench) -> None:
    await arm(bench, "before-commit", lease_seconds=0.3)
    async with bench.client() as client:
        work = asyncio.create_task(explicit(client))
        park = await parked(bench, "before-commit", work)
        await asyncio.wait_for(work, 5)
        assert await bench.wire.release(park.hold_id, "drop") is False

    hold = await bench.hold_trace(park.hold_id)
    assert (hold.release, hold.perturbed) == ("lease", True)
    assert await bench.count() == 1


async def test_a_lease_that_ends_after_the_clients_death_drops(bench: Bench) -> None:
    await arm(bench, "before-commit", lease_seconds=0.5)
    async with bench.client() as client:
        work = asyncio.create_task(explicit(client))
        park = await parked(bench, "before-commit", work)
        client.terminate()
        with pytest.raises(LOST):
            await work

    hold = await bench.hold_trace(park.hold_id)
    assert (hold.release, hold.perturbed) == ("client-eof", True)
    assert await bench.count() == 0


async def test_a_lost_controller_disarms_and_lets_all_holds_pass(bench: Bench) -> None:
    await arm(bench, "before-commit", times=5)
    async with bench.client() as client:
        work = asyncio.create_task(explicit(client))
        park = await parked(bench, "before-commit", work)

        await bench.wire.close()

        await asyncio.wait_for(work, 5)
        hold = await bench.hold_trace(park.hold_id)
        assert (hold.release, hold.perturbed) == ("controller-lost", True)
        await asyncio.wait_for(explicit(client), 5)
        again = await Wire.connect("127.0.0.1", bench.control_port, TOKEN)
        assert await again.open_port("web-0") == bench.ports["web-0"]
        await again.close()
    assert await bench.count() == 2


async def test_the_controller_notices_a_lost_wire(tmp_path: Path, closed_port: int) -> None:
    async with started_wire(f"127.0.0.1:{closed_port}", tmp_path / "wire.jsonl") as control_port:
        wire = await Wire.connect("127.0.0.1", control_port, TOKEN)
    await asyncio.wait_for(wire.lost.wait(), 5)
    with pytest.raises(HarnessError):
        await wire.state()
    await wire.close()


async def test_a_wrong_token_and_a_second_controller_are_refused(bench: Bench) -> None:
    for token in ("wrong", "", TOKEN):
        with pytest.raises(ClusterError, match="refused"):
            await Wire.connect("127.0.0.1", bench.control_port, token)


async def test_a_wrong_rule_is_answered_not_swallowed(bench: Bench) -> None:
    with pytest.raises(HarnessError, match="error"):
        await arm(bench, "before", sql="(")
    with pytest.raises(HarnessError):
        await bench.wire.cut("nobody", "both")


async def test_the_nth_step_of_a_key_is_held_before_the_server_sees_it(bench: Bench) -> None:
    await arm(bench, "before", key=str(ORDER), occurrence=3)
    async with bench.client() as client:

        async def work() -> None:
            async with client.transaction():  # BEGIN is no step
                await client.fetch("SELECT 1 FROM wired WHERE id = $1", ORDER + 1)
                await client.fetch("SELECT 1 FROM wired WHERE id = $1", ORDER)
                await client.fetch("SELECT 2 FROM wired")
                await client.fetch("SELECT 3 FROM wired")

        task = asyncio.create_task(work())
        park = await parked(bench, "before", task)
        assert park.sql == ("SELECT ‹n› FROM wired",)
        (open_one,) = (await bench.wire.state()).connections
        assert (open_one.state, open_one.in_flight) == ("T", True)
        assert str(ORDER) in open_one.keys
        assert open_one.backend_pid == park.backend_pid
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(task, 5)
        (idle,) = (await bench.wire.state()).connections
        assert (idle.state, idle.in_flight, idle.keys) == ("I", False, ())


async def test_only_the_replica_that_was_named_is_held_and_others_are_counted(
    bench: Bench,
) -> None:
    await arm(bench, "before-commit", replicas=("web-0",))
    async with bench.client() as first, bench.client() as second, bench.client("web-1") as other:
        await asyncio.wait_for(explicit(other), 5)
        await second.execute("BEGIN")
        work = asyncio.create_task(explicit(first))
        park = await parked(bench, "before-commit", work)
        assert park.others_in_flight == 1
        await bench.wire.release(park.hold_id, "pass")
        await work


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM wired FOR UPDATE",
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
        "SET application_name = 'update'",
        "SELECT 'insert'",
    ],
)
async def test_what_does_not_write_is_no_commit_point(bench: Bench, statement: str) -> None:
    await arm(bench, "before-commit")
    async with bench.client() as client:
        await asyncio.wait_for(client.execute(statement), 5)
        if "CLOSE" not in statement and "SET" not in statement:
            await asyncio.wait_for(client.fetch(statement), 5)


async def test_a_write_that_fails_and_a_failed_block_are_no_commit_points(bench: Bench) -> None:
    for point in ("before-commit", "reply"):  # the end of a lease would come too late to help
        await bench.wire.arm(Rule(rule_id=point, point=point, lease_seconds=60))  # type: ignore[arg-type]
    async with asyncio.timeout(15), bench.client() as client:
        with pytest.raises(asyncpg.UndefinedColumnError):
            await client.fetch("INSERT INTO wired (nothing) VALUES ($1)", 1)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await client.fetch("INSERT INTO wired (id) VALUES (1 / $1::int)", 0)
        await client.execute("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await client.execute("SELECT 1/0")
        assert await client.execute("COMMIT") == "ROLLBACK"
        for point in ("before-commit", "reply"):
            assert await bench.wire.next_park(point, timeout_seconds=0.01) is None


@pytest.mark.parametrize("side", ["client", "server", "both"])
async def test_a_cut_ends_the_connection_and_is_traced_as_a_cut(bench: Bench, side: Any) -> None:
    async with bench.client() as client:
        await client.execute("BEGIN; INSERT INTO wired (id) VALUES (1)")
        assert await bench.wire.cut("web-0", side) == 1
        with pytest.raises(LOST):
            await client.execute("COMMIT")

    async def gone() -> bool:
        return not (await bench.wire.state()).connections

    await eventually(gone)
    assert await bench.count() == 0

    def cut() -> bool:
        return "cut" in [t.event for t in bench.traces() if isinstance(t, ConnectionTrace)]

    await eventually(cut)


async def test_a_delay_slows_each_step_and_nothing_else(bench: Bench) -> None:
    await bench.wire.delay("*", 0.2)
    async with bench.client() as client:
        begun = time.monotonic()
        await client.execute("BEGIN")
        assert time.monotonic() - begun < 0.2
        begun = time.monotonic()
        await client.fetchval("SELECT count(*) FROM wired")
        assert time.monotonic() - begun >= 0.2
        begun = time.monotonic()
        await client.fetchval("SELECT 1")  # is it alive?
        assert time.monotonic() - begun < 0.2
        await bench.wire.delay("*", 0)


async def test_a_cancel_of_a_held_query_reaches_it_when_it_runs(bench: Bench) -> None:
    await arm(bench, "before", sql="pg_sleep")
    async with bench.client() as client:
        work = asyncio.create_task(client.fetch("SELECT pg_sleep(30)", timeout=1))
        park = await parked(bench, "before", work)
        await asyncio.wait([work], timeout=1.5)
        begun = time.monotonic()
        await bench.wire.release(park.hold_id, "pass")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work, 10)
        assert time.monotonic() - begun < 5
        assert await client.fetchval("SELECT 1") == 1
