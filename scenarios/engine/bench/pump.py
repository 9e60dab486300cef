"""The pump beside FastHttpUser: what one request costs the generator, and how late it leaves.

Both send the same signed order over at most 64 connections to a sink that has time to spare, as
fast as the answers come; the pump in bursts of two, as onceproof does, and it writes its history
meanwhile. Each figure is of a process, the pump's and the one with all FastHttpUsers from when they
were there; a second one of the pump's is with the thread that feeds it and hears from it. Then the
pump alone sends at fixed times, drawn from the seed: 10,000 a second, or half of what it just
reached if that is less.

What Locust's users cost, who decide what is sent (a payload, nine retries, a greenlet), is in
neither figure. So two more peers are whole swarms of a run, all their processes together, at a
fixed rate, over the one transport and the other.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cluster.journal import RUN_VARIABLE
from loadtests.pump.frames import Burst
from loadtests.sample import PATH
from loadtests.swarm import Swarm, SwarmPlan
from loadtests.transport import TRANSPORTS
from results.benchmark import Target
from results.latency import percentile
from scenarios.engine.bench.generators import (
    GRACE_SECONDS,
    Fed,
    Sink,
    arrivals,
    cpu_seconds,
    family_cpu_seconds,
    fed,
    locust_peer,
    sink,
)
from scenarios.engine.bench.part import Ground, Measured, Peers

PUMP, LOCUST = "pump", "FastHttpUser"
COPIES = 2
IN_FLIGHT = 64
RATE_MAX = 10_000.0
LEAD_NS = 150_000_000
WARM_NS = 300_000_000
SATURATED_CORES = 0.9
SWARM_RATE = 200.0  # orders in a second: less than either transport can
MOST = 0.95  # of the deliveries: until then the CPU time of a swarm is read


@dataclass(slots=True)
class PumpPeer:
    """The pump, fed from this process."""

    ground: Ground
    to: Sink
    name: str = PUMP

    async def measure(self, seconds: float) -> Measured:
        """As fast as it goes, and then by the clock."""
        values, wrong = await self.closed(seconds)
        rate = min(RATE_MAX, values["per_second"] / 2)
        late, more = await self.open(seconds, rate)
        return Measured(values | late, wrong=wrong or more)

    async def closed(self, seconds: float) -> tuple[dict[str, float], str]:
        """Always 64 in flight."""
        await self.to.told()
        with fed(self.ground, self.to, in_flight_max=IN_FLIGHT) as pump:
            until_ns = time.monotonic_ns() + int(seconds * 1e9)

            def bursts() -> Iterator[Burst]:
                while time.monotonic_ns() < until_ns:
                    yield pump.burst(COPIES, 1, latest_ns=until_ns)

            before, sink_before = cpu_seconds(pump.pump.pid), cpu_seconds(self.to.child.pid)
            began = time.monotonic()
            await pump.send(bursts())
            took = time.monotonic() - began
            sink_cores = (cpu_seconds(self.to.child.pid) - sink_before) / took
        sent = [one for one in pump.results if not one.shed]
        wrong = pump.bad() or await self.uncounted(len(sent))
        if sink_cores > SATURATED_CORES:
            wrong = wrong or f"the sink was saturated: {sink_cores:.2f} cores"
        own = pump.cpu_seconds - before
        return {
            "cpu_us": own / len(sent) * 1e6,
            "fed_cpu_us": (own + pump.feeding_cpu_seconds) / len(sent) * 1e6,
            "per_second": len(sent) / took,
            "sink_cores": sink_cores,
        }, wrong

    async def open(self, seconds: float, rate: float) -> tuple[dict[str, float], str]:
        """At times drawn before."""
        drawn = random.Random(self.ground.seed)
        with fed(self.ground, self.to, in_flight_max=IN_FLIGHT * 16) as pump:
            await pump.send(scheduled(pump, drawn, rate, seconds))
        late = sorted(
            (one.sent_ns - pump.dues[one.number]) / 1e6
            for one in pump.results if one.sent_ns is not None
        )  # fmt: skip
        return {
            "open_per_second": rate,
            "late_p50_ms": percentile(late, 0.5) or 0.0,
            "late_p99_ms": percentile(late, 0.99) or 0.0,
        }, pump.bad() or await self.uncounted(len(pump.results))

    async def uncounted(self, sent: int) -> str:
        """What the sink did not get, or got twice."""
        got = (await self.to.told())["requests"]
        return "" if got == sent else f"{sent} sent, {got} received"


def scheduled(
    pump: Fed, drawn: random.Random, rate: float, seconds: float, copies: int = 1
) -> Iterator[Burst]:
    """Poisson arrivals, handed over somewhat before their time."""
    due_ns = time.monotonic_ns() + LEAD_NS + WARM_NS
    until_ns = due_ns + int(seconds * 1e9)
    while (due_ns := due_ns + int(drawn.expovariate(rate) * 1e9)) < until_ns:
        burst = pump.burst(copies, due_ns)
        for shot in burst.shots:
            pump.dues[shot.number] = due_ns
        ahead_ns = due_ns - LEAD_NS - time.monotonic_ns()
        if ahead_ns > LEAD_NS // 15:
            time.sleep(ahead_ns / 1e9)
        yield burst


@dataclass(slots=True)
class LocustPeer:
    """FastHttpUsers, one request in flight each."""

    ground: Ground
    to: Sink
    name: str = LOCUST

    async def measure(self, seconds: float) -> Measured:
        """As fast as it goes."""
        before, began = cpu_seconds(self.to.child.pid), time.monotonic()
        found = await locust_peer(self.ground, self.to, "OneAfterAnother", IN_FLIGHT, seconds)
        sink_cores = (cpu_seconds(self.to.child.pid) - before) / (time.monotonic() - began)
        values = {"cpu_us": found["cpu_us"], "per_second": found["per_second"],
                  "sink_cores": sink_cores}  # fmt: skip
        failures = int(found["failures"])
        return Measured(values, wrong=f"{failures} failed" if failures else "")


@dataclass(slots=True)
class SwarmPeer:
    """A whole swarm, over one of the transports."""

    ground: Ground
    to: Sink
    transport: str
    name: str
    made: int = 0

    async def measure(self, seconds: float) -> Measured:
        """From the first delivery to nearly the last one."""
        self.made += 1
        orders = int(SWARM_RATE * seconds) + 1
        await self.to.told()
        swarm = await Swarm.start(
            SwarmPlan(
                orders=orders, per_second=SWARM_RATE, copies=COPIES, ids="distinct",
                seed=self.ground.seed, retries=0, retry_time_scale=1.0, webhook=PATH,
                create_webhook="", users=IN_FLIGHT * 4, targets={"sink": self.to.url},
                transport=self.transport,
                history=self.ground.folder / f"{self.transport}-{self.made}",
            ),
            secret="of the benchmark", log=self.ground.folder / "locust.log",
            environment={RUN_VARIABLE: self.ground.journal.owner},
        )  # fmt: skip
        self.ground.journal.spawned("locust", swarm.pid)
        try:
            came = await arrivals(self.to)
            before, first = family_cpu_seconds(swarm.pid), came
            deadline = time.monotonic() + 3 * seconds + GRACE_SECONDS
            while came < MOST * orders * COPIES and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                came += int((await self.to.told())["requests"])
            spent = family_cpu_seconds(swarm.pid) - before
            await swarm.wait(timeout_seconds=GRACE_SECONDS)
        finally:
            await swarm.stop()
        came += int((await self.to.told())["requests"])
        wrong = "" if came == orders * COPIES else f"{orders * COPIES} asked for, {came} received"
        return Measured({"cpu_us": spent / (MOST * orders * COPIES - first) * 1e6}, wrong=wrong)


class PumpPart:
    """What a request costs, and its lateness."""

    name = "pump"
    title = "CPU of the generator per request, and how late it sends"
    targets = (
        Target(what="CPU per request, pump over FastHttpUser", value=(PUMP, "cpu_us"),
               over=(LOCUST, "cpu_us"), at_most=round(1 / 6, 4)),
        Target(what="the same, with what feeds the pump", value=(PUMP, "fed_cpu_us"),
               over=(LOCUST, "cpu_us"), at_most=round(1 / 6, 4)),
        Target(what="lateness p99, ms", value=(PUMP, "late_p99_ms"), at_most=1.0),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """One sink for all."""
        async with sink(ground) as to:
            swarms = [
                SwarmPeer(ground, to, transport, f"whole swarm, {transport}")
                for transport in TRANSPORTS
            ]
            yield Peers([PumpPeer(ground, to), LocustPeer(ground, to), *swarms])


PART = PumpPart()
