"""A wrong clock on real processes: seen from outside, taken back, refused where it cannot be."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import skewed_clock
from cluster.faults import ClockSkew, FaultContext, perform
from cluster.journal import Journal, read_journal
from cluster.processes import Processes, ProcessSpec
from cluster.skewed_clock import SkewedClock
from results.records import FaultRecord, Stage

skewable, how = skewed_clock.available()
needs_faketime = pytest.mark.skipif(not skewable, reason=f"CLOCK SKEW WAS NOT TRIED: {how}")
SHARED_MEMORY = Path("/dev/shm")

# A server in one screen whose answers carry no Date; it asks for the time all the same.
DATELESS = """
import os, signal, socket, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as server:
    while True:
        client, _ = server.accept()
        with client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


@pytest.fixture
def context(processes: Processes, journal: Journal) -> FaultContext:
    return FaultContext(
        place=processes, journal=journal, database="", environments=processes, ready_path="/readyz"
    )


def left_behind() -> set[str]:
    return {path.name for path in SHARED_MEMORY.glob("*faketime_s*")}


@needs_faketime
@pytest.mark.parametrize("seconds", [3_600, -3_600])
async def test_a_skewed_clock_is_seen_from_outside_and_right_again(
    seconds: int, processes: Processes, context: FaultContext, spec: Callable[..., ProcessSpec]
) -> None:
    before = left_behind()
    first = await processes.start(spec())
    fault = ClockSkew(context, "skew-1", "web-0", seconds, 0.2)
    evidence = await perform(fault)
    assert evidence.complete, evidence.missing
    for when in ("begin", "end"):
        assert evidence.facts[f"skew_at_{when}_seconds"] == pytest.approx(seconds, abs=2)
    records = [one for one in read_journal(context.journal.path) if isinstance(one, FaultRecord)]
    assert [one.stage for one in records] == ["intent", "inject", "evidence", "heal"]
    assert records[-1].detail["skew_seconds"] == pytest.approx(0, abs=2)
    assert fault.skewed is not None
    assert fault.recovered is not None
    assert len({first.identity, fault.skewed.identity, fault.recovered.identity}) == 3
    assert await context.replica("web-0") == fault.recovered
    assert left_behind() == before


@needs_faketime
async def test_answers_without_a_date_prove_nothing(
    processes: Processes, context: FaultContext, spec: Callable[..., ProcessSpec]
) -> None:
    await processes.start(replace(spec(), command=(sys.executable, "-Sc", DATELESS)))
    evidence = await perform(ClockSkew(context, "skew-1", "web-0", 3_600, 0.0))
    assert [line.split(":")[0] for line in evidence.missing] == ["date", "date"]


async def test_a_clock_that_was_not_fooled_is_a_missing_proof(
    processes: Processes,
    context: FaultContext,
    spec: Callable[..., ProcessSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SkewedClock, "environment", lambda *_: {})
    monkeypatch.setattr(SkewedClock, "find", lambda: SkewedClock("none"))
    await processes.start(spec())
    evidence = await perform(ClockSkew(context, "skew-1", "web-0", 3_600, 0.0))
    assert [line.split(":")[0] for line in evidence.missing] == ["date", "date"]
    assert evidence.facts["skew_at_begin_seconds"] == pytest.approx(0, abs=2)


@needs_faketime
async def test_an_end_before_its_time_is_a_missing_proof(
    processes: Processes, context: FaultContext, spec: Callable[..., ProcessSpec]
) -> None:
    await processes.start(spec())
    fault = ClockSkew(context, "skew-1", "web-0", 3_600, 0.0)
    before = left_behind()
    await fault.inject()
    assert fault.skewed is not None
    assert left_behind() == before  # whatever comes now
    await processes.crash(fault.skewed)
    again = await processes.recovered(fault.skewed, timeout_seconds=15)
    evidence = await fault.evidence()
    assert [line.split(":")[0] for line in evidence.missing] == ["stayed"]
    await fault.heal()
    assert fault.recovered is not None
    assert fault.recovered.identity != again.identity


async def test_without_faketime_nothing_is_touched_and_the_package_is_named(
    processes: Processes,
    context: FaultContext,
    spec: Callable[..., ProcessSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(skewed_clock, "_WRAPPER", ("no-such-faketime",))
    first = await processes.start(spec())
    evidence = await perform(ClockSkew(context, "skew-1", "web-0", 3_600, 0.0))
    assert "install faketime" in evidence.missing[0]
    assert skewed_clock.available()[0] is False
    records = [one for one in read_journal(context.journal.path) if isinstance(one, FaultRecord)]
    assert [one.stage for one in records] == [Stage.MISSED]
    assert await context.replica("web-0") == first


@needs_faketime
def test_a_library_that_shifts_the_timers_too_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SkewedClock.environment

    def everything(clock: SkewedClock, seconds: int) -> dict[str, str]:
        return whole(clock, seconds) | {"FAKETIME_DONT_FAKE_MONOTONIC": "0"}

    monkeypatch.setattr(SkewedClock, "environment", everything)
    available, why = skewed_clock.available()
    assert not available
    assert "alone" in why
