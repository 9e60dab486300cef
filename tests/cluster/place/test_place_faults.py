"""Faults on real processes and a real Postgres; the wire is played by the test.

A dropped COMMIT is one the child never sends; what the played wire leaves out is a missing proof.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from cluster import memory_group
from cluster.faults import (
    Crash,
    DbDisconnect,
    FaultContext,
    Freeze,
    Graceful,
    Oom,
    perform,
    take_aim,
)
from cluster.faults.aim import Aim, CrashPoint
from cluster.journal import Journal, read_journal
from cluster.memory_group import MemoryGroup
from cluster.place import Replica
from cluster.postgres import Postgres
from cluster.processes import Processes, ProcessSpec
from cluster.wire.rules import ClientEnd
from results.errors import ClusterError
from results.footprint import Created
from results.records import FaultRecord, Stage

memory_groups, how = memory_group.available()
needs_memory_group = pytest.mark.skipif(not memory_groups, reason=f"OOM WAS NOT TRIED: {how}")


@dataclass
class PlayedPark:
    backend_pid: int
    point: str = "before-commit"
    replica: str = "web-0"
    connection: int = 1
    hold_id: str = "hold-1"
    parked_ns: int = field(default_factory=time.monotonic_ns)
    sql: tuple[str, ...] = ("COMMIT",)
    keys: tuple[str, ...] = ()
    others_in_flight: int = 2


@dataclass
class PlayedConnection:
    replica: str
    connection: int
    backend_pid: int
    state: str
    in_flight: bool = False


@dataclass
class PlayedState:
    connections: list[PlayedConnection]


@dataclass
class PlayedWire:
    open: list[PlayedConnection] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    sees_eof: bool = True
    ends_as: tuple[str, bool] = ("T", True)  # the state, and whether its transaction wrote
    ended_late: bool = True  # after the kill
    holds: bool = True  # False: the lease was over before
    states: int = 0

    async def release(self, hold_id: str, action: str) -> bool:
        self.released.append(action)
        return self.holds

    async def state(self) -> PlayedState:
        self.states += 1
        return PlayedState(self.open if self.states == 1 else [])

    async def wait_end(
        self, replica: str, connection: int, *, timeout_seconds: float
    ) -> ClientEnd | None:
        state, wrote = self.ends_as
        at_ns = time.monotonic_ns() if self.ended_late else 1
        return ClientEnd(at_ns=at_ns, state=state, wrote=wrote) if self.sees_eof else None


@pytest.fixture
async def victim(
    processes: Processes, postgres: Postgres, spec: Callable[..., ProcessSpec]
) -> AsyncIterator[Replica]:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("CREATE TABLE effects (what text)")
    await connection.close()
    yield await processes.start(spec("web-0", DATABASE_URL=postgres.dsn))


@pytest.fixture
def wire() -> PlayedWire:
    return PlayedWire()


@pytest.fixture
def context(
    processes: Processes, journal: Journal, postgres: Postgres, wire: PlayedWire
) -> FaultContext:
    return FaultContext(place=processes, journal=journal, database=postgres.dsn, wire=wire)


async def begin(victim: Replica, *, commit: bool = False) -> int:
    async with aiohttp.ClientSession() as session:
        async with session.post(victim.url + "/begin") as answer:
            pid = int((await answer.json())["backend_pid"])
        if commit:
            await session.post(victim.url + "/commit")
    return pid


def stages(journal: Journal) -> list[Stage]:
    return [one.stage for one in read_journal(journal.path) if isinstance(one, FaultRecord)]


@pytest.mark.parametrize("point", ["commit-dropped", "in-transaction"])
async def test_an_aimed_crash_is_proved_by_process_wire_and_database(
    point: CrashPoint, victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    aim = await take_aim(context, point, PlayedPark(await begin(victim)))
    fault = Crash(context, "crash-1", point, "web-0", aim)
    evidence = await perform(fault)
    assert evidence.complete, evidence.missing
    assert evidence.facts["signal"] == 9
    assert evidence.facts["fate"] == "aborted"
    assert evidence.facts["backend_gone"] is True
    assert evidence.facts["others_in_flight"] == 2
    assert evidence.facts["killed_ns"] <= evidence.facts["died_ns"]
    assert wire.released == ["drop"]
    assert fault.recovered is not None
    assert fault.recovered.identity != victim.identity
    assert stages(context.journal) == ["parked", "intent", "inject", "evidence", "heal"]


async def test_a_fate_other_than_the_named_one_is_a_missing_proof(
    victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    wire.sees_eof = False
    aim = await take_aim(context, "commit-after-death", PlayedPark(await begin(victim)))
    evidence = await perform(Crash(context, "crash-1", "commit-after-death", "web-0", aim))
    assert wire.released == ["drop"]  # an end that was not seen: it may live
    assert evidence.facts["fate"] == "aborted"
    assert [line.split(":")[0] for line in evidence.missing] == ["eof", "fate"]


async def test_a_lost_reply_needs_a_commit_that_postgres_knows_of(
    victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    pid = await begin(victim)
    with pytest.raises(ClusterError, match="in progress"):  # the played wire forwards nothing
        await take_aim(context, "reply-lost", PlayedPark(pid))
    assert wire.released == ["hold-reply", "pass"]


@pytest.mark.parametrize("point", ["commit-dropped", "commit-after-death", "reply-lost"])
async def test_a_session_without_a_transaction_is_no_hit(
    point: CrashPoint, victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    park = PlayedPark(await begin(victim, commit=True))
    with pytest.raises(ClusterError, match="had written nothing"):
        await take_aim(context, point, park)
    assert wire.released == ["pass"]


async def test_a_lost_reply_that_postgres_did_not_commit_is_a_missing_proof(
    victim: Replica, context: FaultContext
) -> None:
    pid = await begin(victim)
    aim = await take_aim(context, "commit-dropped", PlayedPark(pid))
    evidence = await perform(Crash(context, "crash-1", "reply-lost", "web-0", aim))
    assert evidence.facts["fate"] == "aborted"
    assert [line.split(":")[0] for line in evidence.missing] == ["fate"]


@pytest.mark.parametrize(
    ("ends_as", "late", "seen", "landed"),
    [
        (("T", True), True, True, True),
        (("E", True), True, True, True),
        (("T", False), True, True, False),  # it had only read
        (("I", False), True, True, False),  # over before the signal came
        (("T", True), False, True, False),  # gone before
        (("T", True), True, False, None),  # nobody saw it end
    ],
)
async def test_a_blind_crash_counts_what_the_wire_saw_end_after_it(
    ends_as: tuple[str, bool], late: bool, seen: bool, landed: bool | None, victim: Replica,
    context: FaultContext, wire: PlayedWire,
) -> None:  # fmt: skip
    wire.open = [PlayedConnection("web-0", 1, 7, "T"), PlayedConnection("web-1", 2, 8, "T")]
    wire.ends_as, wire.ended_late, wire.sees_eof = ends_as, late, seen
    evidence = await perform(Crash(context, "crash-1", "blind", victim.name))
    assert evidence.complete, evidence.missing
    assert evidence.facts["landed_in_transaction"] is landed
    assert evidence.facts["backends_hit"] == ([7] if landed else [])


async def test_a_crash_without_its_victim_is_missed_and_lets_go(
    processes: Processes, context: FaultContext, wire: PlayedWire
) -> None:
    evidence = await perform(
        Crash(context, "crash-1", "commit-dropped", "web-9", Aim(PlayedPark(1)))
    )
    assert not evidence.complete
    assert wire.released == ["pass"]
    assert stages(context.journal) == ["missed"]


def memory_groups_of(journal: Journal) -> list[Path]:
    records = read_journal(journal.path)
    return [Path(one.path) for one in records if isinstance(one, Created) if "cgroup" in one.path]


@needs_memory_group
@pytest.mark.parametrize("point", ["commit-dropped", "blind"])
async def test_an_oom_is_proved_by_the_kernels_own_count(
    point: CrashPoint, victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    backend_pid = await begin(victim)
    wire.open = [PlayedConnection("web-0", 1, backend_pid, "T")]
    aim = None if point == "blind" else await take_aim(context, point, PlayedPark(backend_pid))
    fault = Oom(context, "oom-1", point, "web-0", aim)
    evidence = await perform(fault)
    assert evidence.complete, evidence.missing
    assert evidence.facts["signal"] == 9
    assert evidence.facts["oom_kills"] >= 1  # v2 counts the kill of the group once more
    assert "landed_in_transaction" not in evidence.facts
    if aim is not None:
        assert evidence.facts["fate"] == "aborted"
        assert evidence.facts["backend_gone"] is True
    assert fault.recovered is not None
    assert fault.recovered.identity != victim.identity
    (group,) = memory_groups_of(context.journal)
    assert not group.exists()


@needs_memory_group
async def test_another_death_inside_the_group_is_no_oom(
    victim: Replica, context: FaultContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryGroup, "take", lambda _, pid: os.kill(pid, signal.SIGKILL))
    evidence = await perform(Oom(context, "oom-1", "blind", victim.name))
    assert evidence.facts["signal"] == 9
    assert [line.split(":")[0] for line in evidence.missing] == ["oom kill"]


@needs_memory_group
async def test_a_replica_that_asks_for_no_memory_is_no_oom_and_comes_back(
    victim: Replica, context: FaultContext, processes: Processes
) -> None:
    await processes.freeze(victim)  # whoever knocks is not let in
    fault = Oom(context, "oom-1", "blind", victim.name)
    evidence = await perform(fault)
    assert [line.split(":")[0] for line in evidence.missing] == ["death", "oom kill"]
    assert fault.recovered is not None
    assert fault.recovered.identity != victim.identity
    assert not any(group.exists() for group in memory_groups_of(context.journal))


@needs_memory_group
async def test_an_oom_that_is_cancelled_leaves_nobody_without_memory(
    victim: Replica, context: FaultContext, processes: Processes
) -> None:
    await processes.freeze(victim)
    under_way = asyncio.create_task(perform(Oom(context, "oom-1", "blind", victim.name)))
    deadline = time.monotonic() + 10
    while "inject" not in stages(context.journal):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    (group,) = memory_groups_of(context.journal)
    assert group.exists()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert not group.exists()


async def test_without_a_memory_cgroup_an_oom_is_missed_with_what_it_would_take(
    victim: Replica,
    context: FaultContext,
    wire: PlayedWire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_group, "_candidates", lambda: iter([tmp_path]))
    aim = Aim(PlayedPark(await begin(victim)))
    evidence = await perform(Oom(context, "oom-1", "commit-dropped", victim.name, aim))
    assert "systemd-run" in evidence.missing[0]
    assert memory_group.available()[0] is False
    assert wire.released == ["pass"]
    assert stages(context.journal)[-1] == "missed"
    assert await context.replica(victim.name) == victim


async def test_a_frozen_replica_keeps_its_transaction_and_wakes(
    victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    park = PlayedPark(await begin(victim), point="before")
    begun = time.monotonic()
    evidence = await perform(Freeze(context, "freeze-1", "web-0", 0.5, park))
    assert evidence.complete, evidence.missing
    assert evidence.facts["process_status"] == "stopped"
    assert evidence.facts["xid"]
    assert time.monotonic() - begun >= 0.5
    assert wire.released == ["pass"]
    async with (
        aiohttp.ClientSession() as session,
        session.post(victim.url + "/commit") as answer,
    ):
        assert answer.status == 200
    assert await context.replica("web-0") == victim


async def test_a_graceful_end_is_proved_by_exit_status_zero(
    victim: Replica, context: FaultContext
) -> None:
    fault = Graceful(context, "graceful-1", "web-0")
    evidence = await perform(fault)
    assert evidence.complete, evidence.missing
    assert evidence.facts["exit_code"] == 0
    assert fault.recovered is not None
    assert fault.recovered.identity != victim.identity


async def test_a_disconnect_ends_the_victims_backends(
    victim: Replica, context: FaultContext, wire: PlayedWire
) -> None:
    pid = await begin(victim)
    wire.open = [PlayedConnection("web-0", 1, pid, "T")]
    evidence = await perform(DbDisconnect(context, "cut-1", "web-0"))
    assert evidence.complete, evidence.missing
    assert evidence.facts["landed_in_transaction"] is True
    wire.states, wire.open = 0, []
    assert "no connection" in (await perform(DbDisconnect(context, "cut-2", "web-0"))).missing[0]
