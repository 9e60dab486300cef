"""Traces what lint judges: in each order one delivery, its duplicate, and one with another id.

One replica, nothing held, one delivery after the other, each only when all is at rest: so whatever
the wire and the witness hear in between is this delivery's, but for what the service says to its
database all the time, which is listened for first. That a reply came before a COMMIT can be told
only if the COMMIT reached the wire after the sender had the answer.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.place import Replica
from loadtests.traffic import PlannedOrder
from results.lint.traced import PLAIN, Attempt, Copy, Row, Traced
from results.records import ProviderCall, StatementTrace
from results.run_folder import RunFolder
from scenarios.engine.explore.laboratory import Laboratory, laboratory
from scenarios.engine.explore.moves import Where
from scenarios.engine.explore.orders import Orders, sending_orders
from scenarios.engine.explore.process_state import asleep
from scenarios.engine.explore.stage import LISTEN_SECONDS, READY_SECONDS
from scenarios.engine.explore.walk import orders
from scenarios.engine.lint.facts import catalogue, default_isolation
from scenarios.engine.plan import RunPlan, opened
from scenarios.engine.stand import Watch

REST_SECONDS = 5.0
LOOK_SECONDS = 0.01
LEVEL = re.compile(r"serializable|repeatable\W+read", re.IGNORECASE)
COPIES: tuple[tuple[Copy, int, int], ...] = (("first", 0, 1), ("same", 0, 2), ("distinct", 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when to when one delivery was all that happened."""

    copy: Copy
    webhook_id: str
    begun_ns: int
    ended_ns: int
    answered_ns: int
    status: int | None
    isolation: str


async def trace(
    plan: RunPlan, rows: Sequence[Row], watch: Watch
) -> tuple[RunFolder, tuple[Traced, ...]]:
    """Play the deliveries of an order for each row, and read what was recorded of them."""
    heard: list[StatementTrace] = []
    played: list[tuple[Row, PlannedOrder, list[Window]]] = []
    async with (
        opened(plan) as folder,
        laboratory(plan, folder, watch, replicas=1) as lab,
        sending_orders(lab) as sending,
    ):
        lab.ears.on_statement = heard.append
        await asyncio.sleep(LISTEN_SECONDS)  # nobody's delivery: what is said now is said always
        background = {one.sql for one in heard}
        default = await default_isolation(lab.observer)
        for row in rows:
            watch(f"tracing deliveries, row {row}")
            order = await _order(plan, row, lab, sending)
            played.append((row, order, await _deliver(order, lab, sending, default)))
        own = [one for one in heard if one.sql not in background]
        known = await catalogue(lab.observer, [sql for one in own for sql in one.sql])
    calls = folder.load().calls
    found = []
    for row, order, windows in played:
        first, same, distinct = (_attempt(order, one, own, calls) for one in windows)
        found.append(
            Traced(row=row, first=first, same=same, distinct=distinct, catalogue=known)
        )  # fmt: skip
    return folder, tuple(found)


async def _order(plan: RunPlan, row: Row, lab: Laboratory, sending: Orders) -> PlannedOrder:
    where = Where(strategy=plan.strategy, provider=plan.provider, ids="distinct", row=row)
    source = orders(where, lab, sending, at_once=1)
    try:
        return await anext(source)
    finally:
        await source.aclose()


async def _deliver(
    order: PlannedOrder, lab: Laboratory, sending: Orders, default: str
) -> list[Window]:
    windows = []
    for copy, index, attempt in COPIES:
        (replica,) = await lab.ready(1, timeout_seconds=READY_SECONDS)
        await _at_rest(lab, replica)
        begun_ns = time.monotonic_ns()
        status = await sending.pay(order, index, replica, attempt)
        answered_ns = time.monotonic_ns()
        await _at_rest(lab, replica)
        named = LEVEL.search(" ".join(lab.wire.isolation(replica.name)))
        windows.append(
            Window(
                copy=copy, webhook_id=order.webhooks[index].webhook_id, begun_ns=begun_ns,
                ended_ns=time.monotonic_ns(), answered_ns=answered_ns, status=status,
                isolation=_level(named[0] if named else default),
            )
        )  # fmt: skip
    return windows


async def _at_rest(lab: Laboratory, replica: Replica) -> None:
    """Two looks in a row at which nothing is open and its process sleeps, or the deadline."""
    deadline, quiet = time.monotonic() + REST_SECONDS, 0
    while quiet < 2 and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        rests = not lab.wire.busy(replica.name) and asleep(replica.pid)
        quiet = quiet + 1 if rests else 0


def _level(text: str) -> str:
    plain = " ".join(re.split(r"\W+", text.lower()))
    return plain if LEVEL.fullmatch(plain) else PLAIN


def _attempt(
    order: PlannedOrder, window: Window, heard: Sequence[StatementTrace],
    calls: Sequence[ProviderCall],
) -> Attempt:  # fmt: skip
    def within(at_ns: int) -> bool:
        return window.begun_ns <= at_ns <= window.ended_ns

    return Attempt(
        copy=window.copy, order_id=order.order_id, webhook_id=window.webhook_id,
        statements=tuple(one for one in heard if within(one.received_ns)),
        calls_ns=tuple(one.at_ns for one in calls if within(one.at_ns)),
        status=window.status, answered_ns=window.answered_ns, isolation=window.isolation,
    )  # fmt: skip
