"""The traffic of a run: Locust in a process of its own, and what is seen of it meanwhile."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.number_map import NumberMap
from loadtests.schedule import EXTENSION_MAX
from loadtests.shopify import RETRIES
from loadtests.swarm import SwarmPlan
from results.errors import HarnessError
from scenarios.engine.plan import RunPlan
from scenarios.engine.stand import RunningSwarm, Stand, Watch

ORDER = re.compile(rb'"order_id":(\d+)')
LOOK_SECONDS = 0.02
MARGIN_SECONDS = 90.0  # start-up, and the last order's retries


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the rest of the run may know of the traffic."""

    history: Path
    running: RunningSwarm
    late_seconds: float = 0.0  # how long an intent may take to come to the run's folder
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _paid: NumberMap = field(default_factory=NumberMap)  # order ids
    _read_bytes: dict[Path, int] = field(default_factory=dict)

    async def announced(self, keys: Iterable[str]) -> bool:
        """Whether one of these ids is an order whose orders/paid is on its way, or was.

        An intent is on disk before its first byte leaves: whatever the wire sees of a paid order
        is in the history already, or is on its way to it from another machine.
        """
        asked = [int(key) for key in keys if key.isdecimal()]
        deadline = time.monotonic() + self.late_seconds
        while True:
            self.read_on()
            if any(number in self._paid for number in asked):
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    def read_on(self) -> None:
        """Read what was appended to the histories since the last time."""
        for file in self.history.glob("history-*.jsonl"):
            with file.open("rb") as content:
                content.seek(self._read_bytes.get(file, 0))
                new = content.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read_bytes[file] = self._read_bytes.get(file, 0) + len(whole)
            for line in whole.splitlines():
                if b'"topic":"orders/paid"' in line and (found := ORDER.search(line)):
                    self._paid.setdefault(int(found.group(1)), 1)

    async def flows(self) -> None:
        """Wait for the first paid order, or for the traffic's end."""
        while not len(self._paid) and not self.ended.is_set():
            self.read_on()
            await asyncio.sleep(LOOK_SECONDS)

    async def ended_or_lost(self, lost: asyncio.Event) -> None:
        """Let it end, and wait until all is answered; HarnessError when the wire is lost before."""
        await self.running.finish()
        waits = [asyncio.create_task(event.wait()) for event in (self.ended, lost)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if lost.is_set():
            raise HarnessError("The control of the wire was lost. See logs/wire.log of the run.")


@asynccontextmanager
async def swarm(plan: RunPlan, stand: Stand, watch: Watch) -> AsyncIterator[Traffic]:
    """Send the scenario's traffic; `ended` is set when all of it has been answered."""
    traffic, service = plan.scenario.traffic, plan.config.service
    begun = time.monotonic()
    running = await stand.send(
        SwarmPlan(
            orders=traffic.orders,
            per_second=traffic.per_second,
            copies=traffic.duplicates.copies,
            ids=traffic.duplicates.ids,
            seed=plan.seed,
            retries=RETRIES,
            retry_time_scale=traffic.retry_time_scale,
            webhook=service.webhook,
            create_webhook=(service.create_webhook or "") * (traffic.create != "never"),
            create_late=traffic.create == "after",
            cancel_webhook=service.cancel_webhook or "",
            signature=service.signature,
            payload=plan.config.file(service.payload),
            create_payload=plan.config.file(service.create_payload),
            cancel_payload=plan.config.file(service.cancel_payload),
            mix=traffic.mix,
            rush=traffic.rush,
            rotate_after=traffic.rotate_after,
            users=traffic.users,
            targets=stand.targets,
            history=stand.folder.path,
            extend=bool(plan.scenario.faults),
        )
    )
    state = Traffic(stand.folder.path, running, stand.histories_late_seconds)
    limit_seconds = EXTENSION_MAX * traffic.orders / traffic.per_second + MARGIN_SECONDS

    async def wait() -> None:
        try:
            await running.wait(timeout_seconds=limit_seconds)
        finally:
            state.ended.set()
            watch(f"traffic ended after {time.monotonic() - begun:.1f} s")

    waiting = asyncio.create_task(wait())
    watch(f"sending {traffic.orders} orders, {traffic.duplicates.copies} copies each")
    try:
        yield state
        await waiting
    finally:
        waiting.cancel()
        await running.stop()
