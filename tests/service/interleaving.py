"""Two deliveries of one order, step by step in a chosen order, on a real Postgres.

A step is a statement (BEGIN counts with the next one), a call of the provider or the answer. The
strategy under test gets a pool and a provider whose every step waits for its turn; each delivery
has a process, and with it a pool, of its own, unless a stage says otherwise. After a turn
the stage waits until each delivery is at its next step, done, or proved to be blocked by the other
(Postgres' own function of the isolation tester), then looks at the ledger from outside.

`every_preemption` tries all schedules "A does k steps, B does j, A goes to its end, B to its own":
one preemption of each, which is enough for every published check-then-act bug. A may also die, as
a process does (its connections end and it says no more): "midway", in the place of its second
part, or "unanswered", at the end of it, with everything done and nobody told. `walk` plays one
schedule of single steps drawn from a seed: any number of preemptions, a death at any step.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg
from turns import Actor, SteppedPool, SteppedProvider, here, turn

from service.database import TRANSIENT_ERRORS
from service.pool import Pool
from service.relays.skip_locked import ship_one
from service.strategies import Answer, Handler
from service.webhook import Line, Webhook

SETTLE_SECONDS = 10.0
ALL = 1_000  # more steps than any delivery takes
DEATH_STEPS_MAX = 16  # of both deliveries together, before one may die
RETRIES_MAX = 4
LINE = Line("ONCE-001", 3)
Death = Literal["midway", "unanswered"]
SHOP = "onceproof-demo.myshopify.com"


@dataclass
class Findings:
    """What all schedules of one cell showed."""

    schedules: int = 0
    codes: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)  # both deliveries' in one text, sorted
    ends: set[tuple[Any, ...]] = field(default_factory=set)  # status, fulfillments, effects, moved


class Stage:
    """Where one strategy is played, schedule after schedule, each with an order of its own."""

    def __init__(
        self, handle: Handler, pool: Pool, observer: asyncpg.Connection, *,
        same_id: bool, row: bool, one_process: bool = False,
    ) -> None:  # fmt: skip
        self.findings = Findings()
        self._handle = handle
        self._raw = pool
        self.held: dict[Any, Actor | None] = {}
        self._shared_pool: Any = SteppedPool(pool, self.held)
        self._provider: Any = SteppedProvider()
        self._observer = observer
        self._same_id, self._row, self._one_process = same_id, row, one_process
        self._moved = asyncio.Event()
        self._dying: list[int] = []  # connections of a crashed delivery that waits for a lock
        self._orders: Iterator[int] = itertools.count(910_000_000_000_000_001)

    async def every_preemption(self, *deaths: Death) -> Findings:
        """All schedules with one preemption of each delivery; what they showed together."""
        self.findings = Findings()
        for death in deaths or (None,):
            for first in range(1, ALL):
                for second in range(0 if death else 1, ALL):
                    took_first, took_second = await self.play(first, second, death)
                    if took_first < first or took_second < second:
                        break  # blocked or done: more steps are the same schedule
                if took_first < first:
                    break
        return self.findings

    async def play(self, first: int, second: int, death: Death | None) -> tuple[int, int]:
        """One schedule; how many of the asked steps were there to take."""
        a, b = both = await self._two()
        took_first = await self.advance(a, both, first)
        took_second = await self.advance(b, both, second)
        if death == "unanswered":
            for actor in (a, b, a):
                await self.advance(actor, both, ALL, short_of_answer=actor is a)
        if death:
            await self._die(a, both)
        for actor in (a, b, a):
            await self.advance(actor, both, ALL)
        assert a.done and b.done, "neither can go on"
        await self._end(both)
        return took_first, took_second

    async def walk(self, choices: random.Random, *, may_die: bool) -> Findings:
        """One schedule of single steps, and maybe a death, drawn from `choices`."""
        self.findings = Findings()
        a, b = both = await self._two()
        dies_after = choices.randrange(DEATH_STEPS_MAX) if may_die else ALL
        for taken in itertools.count():
            if taken == dies_after and not a.done:
                await self._die(a, both)
            ready = [actor for actor in both if actor.waits_for_turn]
            if not ready:
                break
            await self.advance(choices.choice(ready), both, 1)
        assert a.done and b.done, "neither can go on"
        await self._until_gone(self._dying)
        await self._end(both)
        return self.findings

    async def _two(self) -> tuple[Actor, Actor]:
        """Two deliveries of a new order, each at its first step."""
        order_id = await self.new_order()
        a = self.start(order_id, f"{order_id}-a")
        await self.settle((a,))  # one after the other: only one runs at a time
        b = self.start(order_id, f"{order_id}-{'a' if self._same_id else 'b'}")
        await self.settle((a, b))
        return a, b

    async def new_order(self) -> int:
        """The id of an order of its own, with a row if the stage is for that."""
        order_id = next(self._orders)
        if self._row:
            await self._observer.execute(
                "INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'pending')",
                SHOP, order_id,
            )  # fmt: skip
        return order_id

    def start(self, order_id: int, webhook_id: str, handle: Handler | None = None) -> Actor:
        """Let a delivery run up to its first step; `handle` if not the strategy under test."""
        webhook = Webhook(webhook_id, "orders/paid", SHOP, order_id, "10.50", (LINE,))
        actor = Actor(webhook, self._moved)
        pool = self._shared_pool if self._one_process else SteppedPool(self._raw, self.held)

        async def deliver() -> None:
            here.set(actor)
            answer = await self._answer(webhook, handle or self._handle, pool)
            actor.answering = True
            await turn()
            actor.answer, actor.shows = answer, True

        actor.task = asyncio.create_task(deliver())
        actor.task.add_done_callback(lambda _: self._moved.set())
        return actor

    async def _answer(self, webhook: Webhook, handle: Handler, pool: Any) -> Answer:
        """What the app around the strategy would answer."""
        try:
            return await handle(webhook, pool, self._provider)
        except TRANSIENT_ERRORS as error:
            return Answer(503, f"try again: {type(error).__name__}")

    async def advance(
        self, actor: Actor, both: Sequence[Actor], steps: int, *, short_of_answer: bool = False
    ) -> int:
        """Give it so many turns, or as many as it can take; how many those were."""
        for taken in range(steps):
            if not actor.waits_for_turn or (short_of_answer and actor.answering):
                return taken
            actor.waits_for_turn = False
            actor.go.set()
            await self.settle(both)
            if any(one.shows for one in both):  # inside a transaction nothing does
                await self.look(both)
        return steps

    async def settle(self, both: Sequence[Actor]) -> None:
        """Until each is at a step, done, or proved to be blocked by the other."""
        deadline = time.monotonic() + SETTLE_SECONDS
        for actor in both:
            actor.blocked = False
        while not all(actor.settled for actor in both):
            assert time.monotonic() < deadline, "silent: neither at a step nor blocked"
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), 0.001)
            except TimeoutError:
                pids = [actor.pid for actor in both]
                for actor in both:
                    if not actor.settled:
                        actor.blocked = await self._observer.fetchval(
                            "SELECT pg_isolation_test_session_is_blocked($1, $2)", actor.pid, pids
                        )

    async def _die(self, actor: Actor, both: Sequence[Actor]) -> None:
        """Crash the process of one delivery, which may be that of both."""
        waits_for_other = actor.blocked and not self._one_process
        pids = await self._crash(both if self._one_process else (actor,))
        if waits_for_other:
            self._dying = pids  # Postgres sees it when the lock is granted, and not before
        else:
            await self._until_gone(pids)
        await self.settle(both)

    async def _crash(self, actors: Sequence[Actor]) -> list[int]:
        """End them as the death of their process does; the pids of their connections."""
        theirs = [raw for raw, holder in self.held.items() if holder in actors]
        pids = [raw.get_server_pid() for raw in theirs]
        for raw in theirs:
            raw.terminate()
        theirs_too = {task for actor in actors for task in (actor.task, *actor.tasks) if task}
        for task in theirs_too:
            task.cancel()
        for actor in actors:
            actor.waits_for_turn = False
        await asyncio.gather(*theirs_too, return_exceptions=True)
        return pids

    async def _until_gone(self, pids: list[int]) -> None:
        """Until Postgres has noticed the death of these connections."""
        async with asyncio.timeout(SETTLE_SECONDS):
            gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY($1))"
            while not await self._observer.fetchval(gone, pids):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def shipped(self, actor: Actor) -> int:
        """How many shipments its order has, once the relay has nothing left to send."""
        while await ship_one(self._raw, self._provider):
            pass
        return self._provider.count(actor.webhook.order_id)

    async def look(self, both: Sequence[Actor]) -> asyncpg.Record:
        """One snapshot, and what it contradicts."""
        order_id = both[0].webhook.order_id
        seen = await self._observer.fetchrow(
            "SELECT (SELECT status FROM orders WHERE order_id = $1) AS status,"
            " (SELECT count(*) FROM fulfillment_requests WHERE order_id = $1) AS fulfillments,"
            " (SELECT count(*) FROM stock_movements WHERE order_id = $1) AS movements,"
            " (SELECT count(*) FROM shopify_webhook_log WHERE order_id = $1) AS log",
            order_id,
        )
        assert seen is not None
        for actor in both:
            actor.shows = False
        paid, effects = seen["status"] == "paid", self._provider.count(order_id)
        parts = {paid, *(bool(seen[part]) for part in ("fulfillments", "movements", "log"))}
        codes = self.findings.codes
        if len(parts) > 1:
            codes.add("A5")
        if seen["movements"] > 1:
            codes.add("A8")
        if any(actor.status == 200 for actor in both) and not (
            paid and (seen["fulfillments"] or effects)
        ):
            codes.add("A3")
        return seen

    async def _end(self, both: Sequence[Actor]) -> None:
        """Deliver again what was not acknowledged, let the relay drain, and judge the end."""
        said = sorted(actor.answer.outcome if actor.answer else "nothing" for actor in both)
        self.findings.outcomes.add(", ".join(said))
        if any((actor.status or 0) >= 500 for actor in both):
            self.findings.codes.add("5xx")
        for actor in both:
            assert actor.task is not None
            if not actor.task.cancelled():
                actor.task.result()  # a failure that no answer stands for is a failure of the test
            for _ in range(RETRIES_MAX):
                if actor.status == 200:
                    break
                actor.answer = await self._answer(actor.webhook, self._handle, self._shared_pool)
            assert actor.status == 200, f"never acknowledged: {actor.status}"
            await self.look(both)
        seen = await self.look(both)
        effects = await self.shipped(both[0])
        if effects != 1:
            self.findings.codes.add("A1" if effects else "A2")
        if seen["log"] and seen["status"] != "paid" and not effects:
            self.findings.codes.add("A9")
        self.findings.schedules += 1
        self.findings.ends.add((seen["status"], seen["fulfillments"], effects, seen["movements"]))
