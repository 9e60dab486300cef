"""Latency from the moment a webhook was due, when nobody waits for an answer before the next one.

Arrivals are a Poisson process, drawn from the seed. At 1,000 a second a batch should hardly be one:
group commit must not make a quiet service slow. Then Express is driven up, twice the rate each
time, until it is overloaded, and group commit gets four times that rate. Overloaded is who answers
less than 99 % of what was due, or a hundredth of it later than half a second.

Limits: the generator's clock ticks in milliseconds, so up to one of each latency is its own.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from results.benchmark import Target
from scenarios.engine.bench.part import Ground, Measured, Peer, Peers
from scenarios.engine.bench.service import NO_EXPRESS
from scenarios.engine.bench.serving import EXPRESS, Service, express, ours
from scenarios.engine.bench.shop import Shop, own_shop, postgres, run

QUIET_RATE = 1_000.0
FIRST_RATE, LAST_RATE = 250.0, 4_000.0
TIMES = 4
OVERLOAD_MS, KEPT_SHARE = 500.0, 0.99


@dataclass(slots=True)
class Quiet:
    """A service at a rate that is far below its limit."""

    name: str
    service: Service

    async def measure(self, seconds: float) -> Measured:
        """One rate."""
        found = await self.service.hammer(seconds, QUIET_RATE)
        found.values["mean_batch"] = await self.service.shop.mean_batch()
        return found


@dataclass(slots=True)
class Driven:
    """Express until it is overloaded, then group commit at a multiple of that rate."""

    name: str
    node: Service
    group: Service

    async def measure(self, seconds: float) -> Measured:
        """As many rates as it takes."""
        rate, wrong = FIRST_RATE, ""
        while True:
            found = await self.node.hammer(seconds, rate)
            wrong = wrong or found.wrong
            if rate >= LAST_RATE or _overloaded(found):
                break
            rate *= 2
        driven = await self.group.hammer(seconds, TIMES * rate)
        driven.values["mean_batch"] = await self.group.shop.mean_batch()
        driven.values["express_overloaded_per_second"] = rate
        return Measured(driven.values, wrong=wrong or driven.wrong)


def _overloaded(found: Measured) -> bool:
    return found.values["kept"] < KEPT_SHARE or found.values["p99_ms"] > OVERLOAD_MS


AIOHTTP, FAST = "aiohttp + group, 1,000/s", "fast + group, 1,000/s"
DRIVEN = "fast + group, 4 × the rate that overloads Express"


class OpenLoop:
    """The part."""

    name = "open_loop"
    title = "Poisson arrivals, latency from when a webhook was due"
    targets = (
        Target(what="mean batch at 1,000/s", value=(AIOHTTP, "mean_batch"), at_most=2),
        Target(what="p99 in ms at 1,000/s", value=(AIOHTTP, "p99_ms"), at_most=10),
        Target(what="p99 in ms at 4 × the rate that overloads Express",
               value=(DRIVEN, "p99_ms"), at_most=OVERLOAD_MS),
        Target(what="share answered at 4 × the rate that overloads Express",
               value=(DRIVEN, "kept"), at_least=KEPT_SHARE),
    )  # fmt: skip

    def open(self, ground: Ground) -> AbstractAsyncContextManager[Peers]:
        """All services run all the time; who is not measured is idle."""
        return _open(ground)


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Peers]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres(ground))
        running = {}
        for ingest in ("aiohttp", "fast"):
            shop = await own_shop(ground, server, ingest)
            running[ingest] = await stack.enter_async_context(ours(ground, shop, "group", ingest))
        peers: list[Peer] = [Quiet(AIOHTTP, running["aiohttp"]), Quiet(FAST, running["fast"])]
        if not shutil.which("node") or not (EXPRESS / "node_modules").is_dir():
            yield Peers(peers, [NO_EXPRESS])
            return
        dsn = await server.fresh_database("express")
        await run(ground, ("node", "schema.js"), {"DATABASE_URL": dsn}, EXPRESS)
        node = await stack.enter_async_context(express(ground, await Shop.open(dsn)))
        yield Peers([*peers, Driven(DRIVEN, node, running["fast"])])


PART = OpenLoop()
