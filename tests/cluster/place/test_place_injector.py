"""The injector finds its hits among real transactions: a loser is let go, a role is kept to."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from cluster import faults
from cluster.journal import read_journal
from cluster.processes import Processes, ProcessSpec
from results.records import FaultRecord, Stage
from scenarios import Blind, Crash, InTransaction, Polled, Scenario
from scenarios.engine import injector
from scenarios.engine.injector import Injector
from tests.cluster.place.aimed import ORDER, Bench


def injecting(bench: Bench) -> Injector:
    context = bench.context
    plan: Any = SimpleNamespace(
        scenario=Scenario(title="t"),
        config=SimpleNamespace(service=SimpleNamespace(ready="/readyz")),
        random=random.Random,
    )
    stand: Any = SimpleNamespace(
        place=context.place, journal=context.journal, dsn=context.database, wire=bench.wire,
        postgres=None, provider=None, environments=None, administrator=None,
    )  # fmt: skip

    async def announced(_: object) -> bool:
        return True

    traffic: Any = SimpleNamespace(ended=asyncio.Event(), announced=announced)
    return Injector(plan, stand, traffic)


def records(bench: Bench, stage: Stage) -> list[FaultRecord]:
    every = read_journal(bench.context.journal.path)
    return [one for one in every if isinstance(one, FaultRecord) and one.stage is stage]


async def test_a_loser_is_let_go_until_a_winner_comes(bench: Bench) -> None:
    assert await bench.post(f"/pay/statement/{ORDER}") == 200
    fault = Crash(at=InTransaction("reply-lost"))
    work = asyncio.create_task(injecting(bench).inject("fault-0", fault))
    async with asyncio.timeout(15):
        while not bench.holds():
            assert await bench.post(f"/pay/statement/{ORDER}") == 200
            await asyncio.sleep(0.05)
        assert not work.done()
        with pytest.raises(aiohttp.ClientError):
            while True:  # a rule that is between two parks may miss it
                await bench.post(f"/pay/statement/{ORDER + await bench.paid()}")
        await work
    (parked,) = records(bench, Stage.PARKED)
    (proved,) = records(bench, Stage.EVIDENCE)
    assert parked.replica == "web-0"
    assert proved.evidence is not None
    assert proved.evidence.complete, proved.evidence.missing
    assert proved.evidence.facts["fate"] == "committed"
    assert proved.evidence.facts["wrote_table"] == "public.paid"


async def test_where_all_lose_the_fault_is_missed_and_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "PARK_SECONDS", 1.0)
    assert await bench.post(f"/pay/block/{ORDER}") == 200
    fault = Crash(at=InTransaction("commit-dropped"))
    work = asyncio.create_task(injecting(bench).inject("fault-0", fault))
    async with asyncio.timeout(15):
        while not work.done():
            assert await bench.post(f"/pay/block-that-skips/{ORDER}") == 200
            await asyncio.sleep(0.02)
        await work
    (missed,) = records(bench, Stage.MISSED)
    assert "had written nothing" in missed.detail["reason"]
    assert not records(bench, Stage.INJECT)


async def test_a_blind_crash_of_a_role_strikes_that_role(
    bench: Bench, processes: Processes, spec: Callable[..., ProcessSpec]
) -> None:
    await processes.start(replace(spec("relay-0"), role="relay"))
    fault = Crash(at=Blind(), role="relay")
    await asyncio.wait_for(injecting(bench).inject("fault-0", fault), 20)
    (struck,) = records(bench, Stage.INJECT)
    assert struck.replica == "relay-0"
    assert await bench.context.replica("web-0") == bench.victim


async def test_a_polled_crash_that_comes_second_looks_for_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = injecting(bench)
    looks: list[list[str]] = []

    async def polled(_: object, free: dict[str, object]) -> str:
        looks.append(list(free))
        if len(looks) == 1:  # another fault was faster, and is done soon
            mine._busy.add("web-0")
            asyncio.get_running_loop().call_later(0.2, mine._busy.discard, "web-0")
        return "web-0"

    monkeypatch.setattr(faults, "polled", polled)
    await asyncio.wait_for(mine.inject("fault-0", Crash(at=Polled())), 20)
    (struck,) = records(bench, Stage.INJECT)
    assert struck.replica == "web-0"
    assert looks == [["web-0"], ["web-0"]]
