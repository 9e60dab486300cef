"""What comes between the last schedule and the judgement, so that liveness can be judged.

Nothing is held any more. Every delivery without an `ok` comes again under its own id, as Shopify
would send it; what works behind the web replicas is started and ships what is due.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.explore.orders import Orders
from scenarios.engine.explore.played import Played, ok
from scenarios.engine.explore.stage import READY_SECONDS
from scenarios.engine.stand import Watch

ATTEMPTS = 4
AT_ONCE = 8
DRAIN_SECONDS = 120.0
LOOK_SECONDS = 0.05
QUIET_SECONDS = 0.2  # no call of the provider for so long


async def let_everything_end(
    lab: Laboratory, sending: Orders, played: Sequence[Played], watch: Watch, *,
    at_once: int = AT_ONCE,
) -> bool:  # fmt: skip
    """Deliver again, start the others, and wait until nothing moves; False: it still does."""
    again = [one for one in played if not all(map(ok, one.statuses))]
    (replica, *_) = await lab.ready(1, timeout_seconds=READY_SECONDS)
    limit = asyncio.Semaphore(at_once)

    async def redeliver(one: Played) -> None:
        async with limit:
            for index, first in enumerate(one.statuses):
                status = first
                for attempt in range(2, ATTEMPTS + 1):
                    if ok(status):
                        break
                    status = await sending.pay(
                        one.order, one.order.webhooks[index].copy, replica, attempt,
                        cancels=one.cancels(index),
                    )  # fmt: skip
                one.unresolved = one.unresolved or not ok(status)

    if again:
        watch(f"delivering {len(again)} orders again, as Shopify would")
        await asyncio.gather(*map(redeliver, again))
    watch("letting what is due be shipped")
    await lab.start_others()
    settled = await drained(lab)
    if not settled:
        manifest = lab.folder.read_manifest()
        lab.folder.write_manifest(msgspec.structs.replace(manifest, settled=False))
    return settled


async def drained(lab: Laboratory) -> bool:
    """Until nothing is unsent, open or waiting; False at the deadline: it is judged as it is."""
    deadline = time.monotonic() + DRAIN_SECONDS
    calls, since = -1, time.monotonic()
    while time.monotonic() < deadline:
        if lab.witness.calls != calls:
            calls, since = lab.witness.calls, time.monotonic()
        elif time.monotonic() - since >= QUIET_SECONDS and await lab.ledger.settled():
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False
