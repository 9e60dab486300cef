import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest

from cluster.place import Place, Replica
from cluster.processes import Processes, ProcessEvent, ProcessSpec
from results.errors import ClusterError

Spec = Callable[..., ProcessSpec]


def pid_of(replica: Replica) -> int:
    return int(replica.identity.split(":")[1])


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def test_a_killed_replica_is_restarted_and_its_death_is_told(
    processes: Processes, spec: Spec, events: list[ProcessEvent]
) -> None:
    place: Place = processes
    first = await processes.start(spec())
    assert first.ready
    before_ns = time.monotonic_ns()
    await place.crash(first)
    death = await place.death(first, timeout_seconds=5)
    assert (death.signal, death.exit_code) == (9, None)
    assert death.identity == first.identity
    assert before_ns < death.at_ns <= time.monotonic_ns()
    second = await place.recovered(first, timeout_seconds=15)
    assert second.ready
    assert second.restarts == 1
    assert second.identity != first.identity
    assert "restarting" in [event.what for event in events]
    assert await place.replicas() == [second]


async def test_a_fault_for_a_dead_incarnation_never_hits_its_successor(
    processes: Processes, spec: Spec
) -> None:
    first = await processes.start(spec())
    await processes.crash(first)
    await processes.death(first, timeout_seconds=5)
    for fault in (processes.crash, processes.freeze, processes.stop):
        with pytest.raises(ClusterError, match="not the incarnation"):
            await fault(first)
    second = await processes.recovered(first, timeout_seconds=15)
    with pytest.raises(ClusterError, match="not the incarnation"):
        await processes.crash(first)
    await processes.thaw(first)
    assert await processes.replicas() == [second]


async def test_a_graceful_end_is_exit_code_zero_and_a_successor_comes(
    processes: Processes, spec: Spec
) -> None:
    first = await processes.start(spec())
    await processes.stop(first)
    death = await processes.death(first, timeout_seconds=1)
    assert (death.exit_code, death.signal) == (0, None)
    second = await processes.recovered(first, timeout_seconds=15)
    assert second.identity != first.identity


async def test_a_frozen_replica_answers_only_after_its_thaw(
    processes: Processes, spec: Spec
) -> None:
    replica = await processes.start(spec())
    async with aiohttp.ClientSession() as session:
        await processes.freeze(replica)
        with pytest.raises(TimeoutError):
            await session.get(f"{replica.url}/readyz", timeout=aiohttp.ClientTimeout(total=0.3))
        await processes.thaw(replica)
        await processes.thaw(replica)
        async with session.get(f"{replica.url}/readyz") as answer:
            assert answer.status == 200
    with pytest.raises(ClusterError, match="still runs"):
        await processes.death(replica, timeout_seconds=0.05)


async def test_stop_all_ends_frozen_ones_and_those_that_will_not(
    processes: Processes, spec: Spec
) -> None:
    frozen = await processes.start(spec("web-0"))
    deaf = await processes.start(
        ProcessSpec(
            name="relay",
            role="relay",
            command=(
                sys.executable,
                "-c",
                "import signal, subprocess, sys, time\n"
                "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
                "time.sleep(99)",
            ),
        )
    )
    deadline = time.monotonic() + 10
    while not (family := psutil.Process(pid_of(deaf)).children()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await processes.freeze(frozen)
    await processes.stop_all()
    assert gone(pid_of(frozen))
    assert gone(pid_of(deaf))
    psutil.wait_procs(family, timeout=5)
    assert gone(family[0].pid)
    assert await processes.replicas() == []


async def test_one_that_keeps_crashing_backs_off_and_gives_up_with_its_last_words(
    journal: object, tmp_path: Path
) -> None:
    events: list[ProcessEvent] = []
    processes = Processes(
        journal=journal,  # type: ignore[arg-type]
        log_folder=tmp_path,
        backoff_seconds=0.01,
        ready_seconds=1.5,
        on_event=events.append,
    )
    broken = ProcessSpec(
        name="web-0",
        role="web",
        command=(sys.executable, "-Sc", "raise SystemExit('the disk is on fire')"),
        url="http://127.0.0.1:9",
        ready_path="/readyz",
    )
    try:
        with pytest.raises(ClusterError, match="on fire"):
            await processes.start(broken)
        assert await processes.replicas() == []
        delays = [event.detail for event in events if event.what == "restarting"]
        assert len(delays) >= 2
        with pytest.raises(ClusterError, match="cannot be started"):
            await processes.start(replace(broken, name="web-1", command=("/nowhere/at/all",)))
    finally:
        await processes.stop_all()


async def test_a_name_runs_once(processes: Processes, spec: Spec) -> None:
    await processes.start(spec())
    with pytest.raises(ClusterError, match="runs already"):
        await processes.start(spec())
