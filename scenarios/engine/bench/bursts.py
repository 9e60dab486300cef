"""Copies that are to arrive at one instant: how far the first is from the last, by the kernel.

The pump releases them back to back over connections that are open already, or holds the last byte
of each back and releases those; its peer is the forum's answer, FastHttpUsers that wait at a gevent
Event. The sink's kernel notes when the last byte of each request came, so no thread of the sink
stands between.

Limits: loopback, where all of a request is one segment; on a network with many segments and jitter
the last byte alone may be better, here it is not.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadtests.pump.frames import Burst
from results.benchmark import Target
from results.latency import percentile
from scenarios.engine.bench.generators import Sink, fed, locust_peer, sink
from scenarios.engine.bench.part import Ground, Measured, Peers
from scenarios.engine.bench.pump import LEAD_NS, WARM_NS

EVERY_NS = 20_000_000  # as the barrier's
COPIES = (2, 32)
WARM_BURSTS = 3  # whose connections are new


def measured(told: dict[str, list[float]], bad: str) -> Measured:
    """The skew of all bursts that came whole."""
    spans = sorted(told["spans_us"][WARM_BURSTS:])
    return Measured(
        {
            "skew_p50_us": percentile(spans, 0.5) or 0.0,
            "skew_p99_us": percentile(spans, 0.99) or 0.0,
            "bursts": len(spans),
        },
        wrong=bad or ("" if spans else "no burst came whole"),
    )


@dataclass(slots=True)
class PumpBursts:
    """The pump's."""

    name: str
    ground: Ground
    to: Sink
    copies: int
    last_byte: bool

    async def measure(self, seconds: float) -> Measured:
        """A burst every 20 ms."""
        await self.to.told()
        with fed(self.ground, self.to, in_flight_max=1_000) as pump:
            first_ns = time.monotonic_ns() + LEAD_NS + WARM_NS

            def bursts() -> Iterator[Burst]:
                for number in range(int(seconds * 1e9) // EVERY_NS):
                    due_ns = first_ns + number * EVERY_NS
                    time.sleep(max(0, due_ns - LEAD_NS - time.monotonic_ns()) / 1e9)
                    fields = b"X-Burst: %d\r\nX-Copies: %d\r\n" % (number, self.copies)
                    yield pump.burst(self.copies, due_ns, last_byte=self.last_byte, fields=fields)

            await pump.send(bursts())
        return measured(await self.to.told(), pump.bad())


@dataclass(slots=True)
class BarrierBursts:
    """FastHttpUsers, as many as copies."""

    name: str
    ground: Ground
    to: Sink
    copies: int

    async def measure(self, seconds: float) -> Measured:
        """A burst every 20 ms, or when all have had their answer."""
        await self.to.told()
        found = await locust_peer(self.ground, self.to, "Barrier", self.copies, seconds)
        failures = int(found["failures"])
        return measured(await self.to.told(), f"{failures} failed" if failures else "")


class BurstsPart:
    """The skew of bursts."""

    name = "bursts"
    title = "Skew from the first to the last arrival of a burst, by the kernel's clock"
    targets = (
        Target(what="skew p50 of 2 copies, us", value=("pump, 2", "skew_p50_us"), at_most=30),
        Target(what="skew p50 of 32 copies, us", value=("pump, 32", "skew_p50_us"), at_most=250),
        *(
            Target(what=f"skew p50 of {copies} copies, pump over a barrier",
                   value=(f"pump, {copies}", "skew_p50_us"),
                   over=(f"barrier, {copies}", "skew_p50_us"), at_most=0.5)
            for copies in COPIES
        ),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """One sink for all."""
        async with sink(ground) as to:
            yield Peers([
                *(PumpBursts(f"pump, {copies}", ground, to, copies, False) for copies in COPIES),
                *(PumpBursts(f"pump by last byte, {copies}", ground, to, copies, True)
                  for copies in COPIES),
                *(BarrierBursts(f"barrier, {copies}", ground, to, copies) for copies in COPIES),
            ])  # fmt: skip


PART = BurstsPart()
