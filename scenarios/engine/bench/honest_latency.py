"""A service that stands still for two seconds: who says so.

500 orders a second are due, whatever the service does. Those due while it is frozen (SIGSTOP) wait
for its thaw, and since the schedule and the freeze are known, so is the true p99: that of
`thaw - due` for those within, of nothing for the others. Beside it stand the p99 that a run of
onceproof reports, from the time each was due, and that of Locust's own column for users with
`constant_throughput`, which do not ask while they wait.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cluster.journal import RUN_VARIABLE
from loadtests.swarm import Swarm, SwarmPlan
from results.benchmark import Target
from results.history import History
from results.latency import acknowledged_ms, percentile
from results.records import Completion, GeneratorEnd, Intent
from scenarios.engine.bench.generators import Sink, arrivals, locust_peer, sink
from scenarios.engine.bench.part import Ground, Measured, Peers

ONCEPROOF, LOCUST = "onceproof", "Locust's column"
RATE = 500
FREEZE_SECONDS = 2.0
BEFORE_SECONDS = 2.0
SECONDS_MIN = 8.0  # of one sample: the freeze must end within it
USERS = 1_500  # in flight, at most: more than two seconds' worth
LOCUST_USERS = 50  # ten in a second each
DEADLINE_SECONDS = 60.0
SECRET = "of the benchmark"
READER = msgspec.json.Decoder(Intent | Completion | GeneratorEnd)


async def freeze(to: Sink) -> tuple[int, int]:
    """Stop the sink; from when to when it stood still."""
    pid = to.child.pid
    os.kill(pid, signal.SIGSTOP)
    began_ns = time.monotonic_ns()
    try:
        await asyncio.sleep(FREEZE_SECONDS)
    finally:
        ended_ns = time.monotonic_ns()
        os.kill(pid, signal.SIGCONT)
    return began_ns, ended_ns


def true_waits_ms(due_ns: Iterable[int], began_ns: int, ended_ns: int) -> list[float]:
    """Sorted, those of a service that answers at once whenever it does not stand still."""
    return sorted((ended_ns - due) / 1e6 if began_ns <= due < ended_ns else 0.0 for due in due_ns)


def compared(true: list[float], p95_ms: float, p99_ms: float, sent: float) -> dict[str, float]:
    """The truth, and what was reported of it."""
    true_ms = percentile(true, 0.99) or 0.0
    return {
        "true_p95_ms": percentile(true, 0.95) or 0.0,
        "reported_p95_ms": p95_ms,
        "true_p99_ms": true_ms,
        "reported_p99_ms": p99_ms,
        "off_by_share": abs(p99_ms / true_ms - 1),
        "sent_of_due": sent / len(true),
    }


def read(file: Path) -> History:
    """A history, without a run around it."""
    records = [READER.decode(line) for line in file.read_bytes().splitlines()]
    return History.join(
        (one for one in records if isinstance(one, Intent)),
        (one for one in records if isinstance(one, Completion)),
        (one for one in records if isinstance(one, GeneratorEnd)),
    )


@dataclass(slots=True)
class OnceproofPeer:
    """A whole swarm, as a run starts it, and its history."""

    ground: Ground
    to: Sink
    name: str = ONCEPROOF
    made: int = 0

    async def measure(self, seconds: float) -> Measured:
        """One run with one freeze."""
        self.made += 1
        folder = self.ground.folder / f"swarm-{self.made}"
        await self.to.told()
        swarm = await Swarm.start(
            SwarmPlan(
                orders=int(RATE * max(seconds, SECONDS_MIN)), per_second=RATE, copies=1,
                ids="distinct", seed=self.ground.seed, retries=0, retry_time_scale=1.0,
                webhook="/webhooks/orders/paid", create_webhook="", users=USERS,
                targets={"sink": self.to.url}, history=folder,
            ),
            secret=SECRET, log=self.ground.folder / "locust.log",
            environment={RUN_VARIABLE: self.ground.journal.owner},
        )  # fmt: skip
        self.ground.journal.spawned("locust", swarm.pid)
        try:
            await arrivals(self.to)
            await asyncio.sleep(BEFORE_SECONDS)
            began_ns, ended_ns = await freeze(self.to)
            await swarm.wait(timeout_seconds=DEADLINE_SECONDS)
        finally:
            await swarm.stop()
        history = read(folder / "history-0.jsonl")
        due = [one.intent.intended_ns for one in history.deliveries]
        reported = acknowledged_ms(history.deliveries)
        wrong = f"{history.shed_orders} orders were shed" if history.shed_orders else ""
        return Measured(
            compared(
                true_waits_ms(due, began_ns, ended_ns), percentile(reported, 0.95) or 0.0,
                percentile(reported, 0.99) or 0.0, len(due),
            ),
            wrong=wrong,
        )  # fmt: skip


@dataclass(slots=True)
class ColumnPeer:
    """Users with `constant_throughput`, and what Locust says of them."""

    ground: Ground
    to: Sink
    name: str = LOCUST

    async def measure(self, seconds: float) -> Measured:
        """One run with one freeze."""
        seconds = max(seconds, SECONDS_MIN)
        await self.to.told()
        running = asyncio.create_task(
            locust_peer(self.ground, self.to, "Steady", LOCUST_USERS, seconds)
        )
        try:
            await arrivals(self.to)
            began = time.monotonic()
            await asyncio.sleep(BEFORE_SECONDS)
            began_ns, ended_ns = await freeze(self.to)
            found = await running
        finally:
            running.cancel()
        # What was due at 500 a second from the first request on, had it been sent.
        due = [int((began + at / RATE) * 1e9) for at in range(int(RATE * seconds))]
        true = true_waits_ms(due, began_ns, ended_ns)
        return Measured(compared(true, found["p95_ms"], found["p99_ms"], found["requests"]))


class HonestLatencyPart:
    """What is reported of a freeze."""

    name = "honest_latency"
    title = "The p99 that is reported of a service that stood still for 2 s at 500/s"
    targets = (
        Target(what="reported p99, share that it is off the true one",
               value=(ONCEPROOF, "off_by_share"), at_most=0.05),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """One sink for all."""
        async with sink(ground) as to:
            yield Peers([OnceproofPeer(ground, to), ColumnPeer(ground, to)])


PART = HonestLatencyPart()
