"""Carries out the faults of a scenario while traffic flows, each at its own moment.

The number asked is fixed first and every fault is accounted for: parked and fired, or missed with
the reason. Up to `replicas - 1` faults are under way at once, on different victims, so that there
is always somebody left to answer. Order and moments come from the run's seed.
"""

import asyncio
import time

from cluster import faults
from cluster.faults.crash import CrashPoint
from cluster.place import Replica
from cluster.wire.client import Park
from cluster.wire.rules import Point, Rule
from results.records import Stage
from scenarios.engine.plan import RunPlan, moment
from scenarios.engine.scenario import Crash, DbDisconnect, Fault, Freeze, Graceful
from scenarios.engine.stand import Stand, Watch
from scenarios.engine.swarm import Traffic

PARK_SECONDS = 15.0
WIRE_POINTS: dict[str, Point] = {
    "commit-dropped": "before-commit",
    "commit-after-death": "before-commit",
    "reply-lost": "reply",
}


async def inject_all(plan: RunPlan, stand: Stand, traffic: Traffic, watch: Watch) -> None:
    """Inject every fault that the scenario asks for, or journal why one was missed."""
    if not plan.scenario.faults:
        return
    order = plan.random("faults")
    asked = [fault for fault in plan.scenario.faults for _ in range(fault.times)]
    order.shuffle(asked)
    injector = Injector(plan, stand, traffic)
    slots = asyncio.Semaphore(max(1, plan.scenario.replicas - 1))
    done = 0

    async def one(number: int, fault: Fault) -> None:
        nonlocal done
        async with slots:
            await injector.inject(f"fault-{number}", fault)
        done += 1
        watch(f"faults: {done} of {len(asked)} done")

    async with asyncio.TaskGroup() as tasks:
        for number, fault in enumerate(asked):
            tasks.create_task(one(number, fault))


class Injector:
    """Finds a victim for one fault after another; no two faults share a victim at one time."""

    def __init__(self, plan: RunPlan, stand: Stand, traffic: Traffic) -> None:
        self._stand = stand
        self._traffic = traffic
        self._random = plan.random("moments")
        self._busy: set[str] = set()
        self._context = faults.FaultContext(
            place=stand.place, journal=stand.journal, database=stand.dsn, wire=stand.wire
        )

    async def inject(self, fault_id: str, fault: Fault) -> None:
        """One fault from asked to healed."""
        point = moment(fault)
        self._record(fault_id, fault, point, Stage.ASKED)
        if point == "blind":
            await asyncio.sleep(self._random.uniform(0.05, 0.8))
            victim = await self._free_replica()
            park = None
        else:
            victim, park = await self._park(fault_id, fault, point)
        if victim is None:
            reason = (
                "the traffic ended first"
                if self._traffic.ended.is_set()
                else "no transaction parked"
            )
            self._record(fault_id, fault, point, Stage.MISSED, reason=reason)
            return
        try:
            await self._carry_out(fault_id, fault, point, victim, park)
        finally:
            self._busy.discard(victim.name)

    async def _carry_out(
        self, fault_id: str, fault: Fault, point: CrashPoint, victim: Replica, park: Park | None
    ) -> None:
        context, name = self._context, victim.name
        act: faults.Fault
        match fault:
            case Crash():
                act = faults.Crash(context, fault_id, point, name, park)
            case Freeze():
                act = faults.Freeze(context, fault_id, name, fault.frozen_seconds, park)
            case Graceful():
                act = faults.Graceful(context, fault_id, name)
            case DbDisconnect():
                act = faults.DbDisconnect(context, fault_id, name)
        await faults.perform(act)

    async def _park(
        self, fault_id: str, fault: Fault, point: str
    ) -> tuple[Replica | None, Park | None]:
        """Hold some replica that no other fault works on at the asked point of a transaction."""
        deadline_ns = time.monotonic_ns() + int(PARK_SECONDS * 1e9)
        lease_seconds = fault.frozen_seconds + 5.0 if isinstance(fault, Freeze) else 3.0
        while time.monotonic_ns() < deadline_ns and not self._traffic.ended.is_set():
            free = {
                replica.name: replica
                for replica in await self._stand.place.replicas()
                if replica.role == "web" and replica.ready and replica.name not in self._busy
            }
            if not free:
                await asyncio.sleep(0.05)
                continue
            rule = Rule(
                rule_id=f"{fault_id}-{time.monotonic_ns()}",
                point=WIRE_POINTS.get(point, "before-commit"),
                replicas=tuple(free),
                lease_seconds=lease_seconds,
            )
            await self._stand.wire.arm(rule)
            park = await self._stand.wire.next_park(rule.rule_id, timeout_seconds=1.0)
            if park is None:
                await self._stand.wire.disarm(rule.rule_id)
                park = await self._stand.wire.next_park(rule.rule_id, timeout_seconds=0.05)
            if park is not None:
                # A transaction of orders/create is not what was asked for: let it go.
                if park.replica not in self._busy and self._traffic.announced(park.keys):
                    self._busy.add(park.replica)
                    return free[park.replica], park
                await self._stand.wire.release(park.hold_id, "pass")
        return None, None

    async def _free_replica(self) -> Replica | None:
        """A replica that is ready and nobody's victim, chosen by the seed."""
        for _ in range(100):
            free = [
                replica
                for replica in await self._stand.place.replicas()
                if replica.role == "web" and replica.ready and replica.name not in self._busy
            ]
            if self._traffic.ended.is_set():
                return None
            if free:
                victim = self._random.choice(free)
                self._busy.add(victim.name)
                return victim
            await asyncio.sleep(0.05)
        return None

    def _record(
        self, fault_id: str, fault: Fault, point: str, stage: Stage, **detail: object
    ) -> None:
        self._stand.journal.fault(
            fault_id=fault_id, kind=fault.kind, point=point, stage=stage, detail=detail
        )
