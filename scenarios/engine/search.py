"""The directed search: two deliveries of one order, one preemption, placed at every step in turn.

Delivery A runs on the first replica until its k-th database step, is held there, delivery B runs
on the second replica as far as it can, then A goes on. One preemption suffices for every published
check-then-act bug, and its history is the smallest that shows it. The search stops at the first
order with two shipments. It is no exploration: it says nothing of what it did not try.
"""

import asyncio
import time
from dataclasses import replace

from cluster.wire.client import Wire
from cluster.wire.rules import Rule
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder, order_number, plan_order
from scenarios.engine.plan import RunPlan, note
from scenarios.engine.sender import Sender, sender_session
from scenarios.engine.stand import Stand, Watch

WORKER = 99  # order ids of their own
STEPS_MAX = 12
PARK_SECONDS = 1.5
ALONE_SECONDS = 0.8  # how long B may take alone before it counts as waiting for A
SHIPPED_SECONDS = 2.0


async def search(plan: RunPlan, stand: Stand, watch: Watch) -> None:
    """Try one preemption after each step; notes the guilty order in the manifest."""
    first, second = list(stand.targets)[:2]
    choices = plan.random("search")
    recorder = Recorder(stand.folder.history(WORKER))
    await stand.wire.delay("*", 0)
    distinct = plan.scenario.traffic.duplicates.ids == "distinct"
    tried = 0
    async with sender_session() as session:
        sender = Sender(stand.config, stand.secret, stand.targets, session, recorder)
        for step in range(1, STEPS_MAX + 1):
            watch(f"directed search: the first delivery held before its step {step}")
            number = order_number(plan.seed, WORKER, step)
            order = plan_order(choices, number, 0.0, 2, distinct)
            order = replace(order, lines=order.lines[:1])  # a short history reads best
            tried += 1
            held = await preempt(stand.wire, sender, order, step, first, second)
            if await shipments(stand, order) > 1:
                note(stand.folder, directed_order=order.order_id, directed_step=step)
                break
            if not held:
                break
    recorder.end(worker=WORKER, planned=tried, sent=tried, shed=0)


async def preempt(
    wire: Wire, sender: Sender, order: PlannedOrder, step: int, first: str, second: str
) -> bool:
    """A until its step, then B, then A's rest; False when A has no such step."""
    if sender.config.service.create_webhook:
        await sender.deliver(order, 0, "orders/create", first)
    rule = Rule(
        rule_id=f"search-{step}", point="before", replicas=(first,), occurrence=step,
        key=str(order.order_id), lease_seconds=4.0,
    )  # fmt: skip
    await wire.arm(rule)
    a = asyncio.create_task(sender.deliver(order, 0, "orders/paid", first))
    park = await wire.next_park(rule.rule_id, timeout_seconds=PARK_SECONDS)
    if park is None:
        await wire.disarm(rule.rule_id)
    b = asyncio.create_task(sender.deliver(order, 1, "orders/paid", second))
    await asyncio.wait([b], timeout=ALONE_SECONDS)
    if park is not None:
        await wire.release(park.hold_id, "pass")
    await asyncio.gather(a, b)
    return park is not None


async def shipments(stand: Stand, order: PlannedOrder) -> int:
    """How many shipments the witness has, once the ledger has nothing left to send."""
    async with asyncio.timeout(SHIPPED_SECONDS + 5):
        deadline = time.monotonic() + SHIPPED_SECONDS
        while not await stand.ledger.settled() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return len(await stand.provider.effects(order.order_id))
