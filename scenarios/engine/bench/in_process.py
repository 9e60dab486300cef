"""What a strategy costs without any HTTP: separate statements, one call, group commit.

All three do the same steps, 64 deliveries at once in one process. `separate` pays a round trip a
step, `function` one in all, and both a COMMIT an order; `group` pays for a batch. With one SKU
that every order takes, the first two also wait for its row in turn.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from results.benchmark import Target
from scenarios.engine.bench.part import Ground, Measured, Peers
from scenarios.engine.bench.shop import Shop, own_shop, postgres, run_json

AT_ONCE = 64


@dataclass(slots=True)
class Alone:
    """One strategy in a process of its own."""

    ground: Ground
    shop: Shop
    strategy: str
    name: str
    skus: int = 100

    async def measure(self, seconds: float) -> Measured:
        """Empty the books, run, compare."""
        await self.shop.clear()
        before = self.shop.cpu_seconds()
        found = await run_json(
            self.ground,
            (sys.executable, "-m", "service.alone", self.strategy, "--at-once", str(AT_ONCE),
             "--seconds", str(seconds), "--skus", str(self.skus)),
            {"DATABASE_URL": self.shop.dsn},
        )  # fmt: skip
        done = int(found.pop("done"))
        found["postgres_cpu_us"] = (self.shop.cpu_seconds() - before) / done * 1e6
        books = await self.shop.books()
        return Measured(found, wrong=books.wrong(done, done))


class InProcess:
    """The part."""

    name = "in_process"
    title = "Orders a second of a strategy without HTTP, 64 deliveries at once, one process"
    targets = (
        Target(what="function over separate statements",
               value=("function", "per_second"), over=("separate", "per_second"), at_least=2),
        Target(what="group over function",
               value=("group", "per_second"), over=("function", "per_second"), at_least=2),
        Target(what="group over separate statements",
               value=("group", "per_second"), over=("separate", "per_second"), at_least=4),
        Target(what="group over function, one hot SKU", value=("group, one SKU", "per_second"),
               over=("function, one SKU", "per_second"), at_least=8),
    )  # fmt: skip

    def open(self, ground: Ground) -> AbstractAsyncContextManager[Peers]:
        """One database for all."""
        return _open(ground)


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Peers]:
    async with postgres(ground) as server:
        shop = await own_shop(ground, server, "alone")
        yield Peers(
            [Alone(ground, shop, name, name) for name in ("separate", "function", "group")]
            + [Alone(ground, shop, name, f"{name}, one SKU", 1) for name in ("function", "group")]
        )


PART = InProcess()
