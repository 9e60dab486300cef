"""What the parts that measure generators rest on: the sink's counts, and the truth of a freeze."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.journal import Journal
from loadtests.pump.frames import Burst
from loadtests.sample import sample
from results.latency import percentile
from scenarios.engine.bench.generators import Sink, fed, sink
from scenarios.engine.bench.honest_latency import true_waits_ms
from scenarios.engine.bench.part import Ground


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    with Journal(tmp_path / "journal.jsonl") as journal:
        yield Ground(folder=tmp_path, journal=journal, seed=1)


async def send(ground: Ground, to: Sink, *, copies: int, bursts: int) -> dict[str, list[float]]:
    with fed(ground, to, in_flight_max=100) as pump:
        made = []
        for number in range(bursts):
            fields = b"X-Burst: %d\r\nX-Copies: %d\r\n" % (number, copies)
            made.append(pump.burst(copies, time.monotonic_ns() + 50_000_000, fields=fields))
        await pump.send(iter(made))
        assert len(pump.results) == copies * bursts
        assert pump.bad() == ""
        assert 0 < pump.feeding_cpu_seconds < 5
        assert pump.cpu_seconds > 0
    history = (ground.folder / "history.jsonl").read_bytes()
    assert history.count(b'"completion"') == history.count(b'"intent"') == copies * bursts
    return await to.told()


async def test_the_sink_counts_requests_and_measures_whole_bursts(ground: Ground) -> None:
    async with sink(ground) as to:
        assert await to.told() == {"requests": 0, "spans_us": [], "torn": 0}
        told = await send(ground, to, copies=3, bursts=7)
        assert told["requests"] == 21
        assert len(told["spans_us"]) == 7
        assert all(0 < span < 5e6 for span in told["spans_us"]), "the kernel's, or none"
        assert (await to.told())["requests"] == 0


async def test_a_burst_that_came_in_part_has_no_span(ground: Ground) -> None:
    async with sink(ground) as to:
        with fed(ground, to, in_flight_max=100) as pump:

            def torn() -> list[Burst]:
                return [pump.burst(1, 1, fields=b"X-Burst: 1\r\nX-Copies: 2\r\n")]

            await pump.send(iter(torn()))
        assert await to.told() == {"requests": 1, "spans_us": [], "torn": 1}


def test_the_truth_of_a_freeze_by_hand() -> None:
    """100 a second for 10 s, frozen from 2 s to 4 s: of 1,000 waits, the tenth longest."""
    due = [at * 10_000_000 for at in range(1_000)]
    waits = true_waits_ms(due, 2_000_000_000, 4_000_000_000)
    assert percentile(waits, 0.99) == pytest.approx(2_000 - 100)
    assert percentile(waits, 0.8) == 0
    assert max(true_waits_ms(due, 2_000_000_000, 2_050_000_000)) == pytest.approx(50)


def test_the_sample_is_a_signed_order() -> None:
    body, headers = sample()
    assert len(body) > 5_000
    assert headers["X-Shopify-Topic"] == "orders/paid"
    assert headers["X-Shopify-Hmac-Sha256"]
    assert sample() == (body, headers)
