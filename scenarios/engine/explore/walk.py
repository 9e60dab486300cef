"""One walk through the tree of schedules of one kind, with its bounds and its counts."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from cluster.place import Replica
from loadtests.traffic import PlannedOrder
from results.errors import HarnessError
from scenarios.engine.explore.baseline import require_baseline
from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.explore.moves import Where
from scenarios.engine.explore.orders import Orders
from scenarios.engine.explore.played import Played, ok
from scenarios.engine.explore.stage import READY_SECONDS, Stage
from scenarios.engine.explore.tree import AsleepError, Tree
from scenarios.engine.stand import Watch

ANNOUNCED_AT_ONCE = 50
ANNOUNCED_IN_PARALLEL = 4
TELL_SECONDS = 5.0
FULL_MAX = 1_000  # schedules; where there are more, those that cannot matter are left out
SCHEDULES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of all schedules is played.

    `reduced`: leave out what cannot matter, and what differs in names alone; None: only where
    there are too many (a third delivery, a crash, more than FULL_MAX).
    """

    reduced: bool | None = None
    preemptions: int | None = None
    schedules: int = SCHEDULES_MAX
    unanswered: bool = False  # a death after Postgres has answered a COMMIT is a point of its own


@dataclass(slots=True, kw_only=True)
class Walk:
    """What was played of one kind."""

    where: Where
    reduced: bool
    bounds: Bounds
    played: list[Played] = field(default_factory=list)
    asleep: list[Played] = field(default_factory=list)  # plays that the reduction ended early
    exhausted: bool = False  # every schedule within the bounds was played
    late: set[int] = field(default_factory=set)  # orders with steps after their play; still grows
    divergences: int = 0
    seconds: float = 0.0


async def walk_all(
    where: Where, bounds: Bounds, stage: Stage, lab: Laboratory, sending: Orders, watch: Watch
) -> Walk:
    """Play all of them; with all orders first, and reduced if those are too many."""
    many = where.deliveries > 2 or where.crashes > 0
    reduced = bounds.reduced if bounds.reduced is not None else many
    all_matter = bounds.preemptions is not None or where.one_process  # what they share, may
    walk = Walk(where=where, reduced=reduced and not all_matter, bounds=bounds)
    undecided = bounds.reduced is None and not walk.reduced and not all_matter
    most = min(bounds.schedules, FULL_MAX) if undecided else bounds.schedules
    await _walk(walk, most, stage, lab, sending, watch)
    if undecided and not walk.exhausted and most < bounds.schedules:
        watch(f"more than {most} schedules: leaving out those that cannot matter")
        walk.reduced = True
        await _walk(walk, bounds.schedules, stage, lab, sending, watch)
    return walk


async def _walk(
    walk: Walk, most: int, stage: Stage, lab: Laboratory, sending: Orders, watch: Watch
) -> None:
    tree = Tree(reduced=walk.reduced, preemptions_max=walk.bounds.preemptions)
    walk.late = stage.late
    begun = told = time.monotonic()
    async for order in orders(walk.where, lab, sending):
        tree.begin()
        played = Played(order, walk.where.cancelled)
        try:
            await stage.play(
                played,
                walk.where.crashes,
                tree.choose,
                symmetric=walk.reduced,
                unanswered=walk.bounds.unanswered,
                one_process=walk.where.one_process,
            )
        except AsleepError:
            await stage.look(order)  # it went on unheld; others are looked at next
            walk.asleep.append(played)
        else:
            walk.played.append(played)
            if len(walk.played) == 1:
                looked = await lab.look.at([(order.shop, order.order_id)])
                require_baseline(walk.where, played, looked.orders[0] if looked.orders else None)
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            watch(f"{walk.where.words}: {len(walk.played)} schedules so far")
        if not tree.advance():
            walk.exhausted = True
            break
        if len(walk.played) >= most:
            break
    walk.divergences += tree.divergences
    walk.seconds += time.monotonic() - begun
    watch(f"{walk.where.words}: {len(walk.played)} schedules in {walk.seconds:.1f} s")


async def orders(
    where: Where, lab: Laboratory, sending: Orders, at_once: int = ANNOUNCED_AT_ONCE
) -> AsyncGenerator[PlannedOrder, None]:
    """New orders for ever, with a row where they are to have one; HarnessError if refused."""
    while True:
        some = [
            sending.next(where.deliveries, distinct=where.ids == "distinct") for _ in range(at_once)
        ]
        if where.row == "present":
            (replica, *_) = await lab.ready(1, timeout_seconds=READY_SECONDS)
            limit = asyncio.Semaphore(ANNOUNCED_IN_PARALLEL)
            said = await asyncio.gather(
                *(_announce(order, sending, replica, limit) for order in some)
            )
            refused = [status for status in said if not ok(status)]
            if refused:
                raise HarnessError(
                    f"orders/create was answered {refused[0]}, so an order has no row. Look into "
                    "the logs of the run."
                )
        for order in some:
            yield order


async def _announce(
    order: PlannedOrder, sending: Orders, replica: Replica, limit: asyncio.Semaphore
) -> int | None:
    async with limit:
        return await sending.announce(order, replica)
