"""Carries out the faults of a scenario while traffic flows, each at its own moment.

The number asked is fixed first and every fault is accounted for: parked and fired, or missed with
the reason. Up to `replicas - 1` faults are under way at once, on different victims, so that there
is always somebody left to answer. Order and moments come from the run's seed.
"""

import asyncio
import time
from itertools import groupby

from cluster import faults
from cluster.faults.aim import Aim, CrashPoint
from cluster.place import Replica
from cluster.wire.client import Park
from cluster.wire.rules import Rule
from results.errors import ClusterError
from results.records import Stage
from scenarios.engine.plan import RunPlan, moment
from scenarios.engine.scenario import (
    Autoscale,
    ClockSkew,
    Crash,
    DbCrash,
    DbDisconnect,
    DbLatency,
    Drain,
    Evict,
    Fault,
    Freeze,
    GhostPod,
    Graceful,
    NodeDown,
    Oom,
    PowerLoss,
    ProviderFault,
    RollingRestart,
    Rollout,
    Scale,
)
from scenarios.engine.stand import Stand, Watch
from scenarios.engine.swarm import Traffic

PARK_SECONDS = 15.0
LEASE_SECONDS = 3.0
STARVING_SECONDS = 10.0  # until a container's memory is used up
# They hit everybody: no other fault could be proved meanwhile.
ALONE = (DbCrash, RollingRestart, Drain, Scale, Autoscale, Rollout, NodeDown)
EVERYBODY = (*ALONE, DbLatency, ProviderFault)
STEP_SECONDS = 2.0  # without a park for so long, no delivery has so many steps


async def inject_all(plan: RunPlan, stand: Stand, traffic: Traffic, watch: Watch) -> None:
    """Inject every fault that the scenario asks for, or journal why one was missed."""
    if not plan.scenario.faults:
        return
    order = plan.random("faults")
    asked = [fault for fault in plan.scenario.faults for _ in range(fault.times)]
    order.shuffle(asked)
    injector = Injector(plan, stand, traffic)
    slots = asyncio.Semaphore(max(1, plan.scenario.replicas - 1))
    await traffic.flows()
    begun, done = time.monotonic(), 0

    async def one(number: int, fault: Fault) -> None:
        nonlocal done
        await asyncio.sleep(begun + number * plan.scenario.fault_every_seconds - time.monotonic())
        async with slots:
            await injector.inject(f"fault-{number}", fault)
        done += 1
        watch(f"faults: {done} of {len(asked)} done")

    for alone, batch in groupby(enumerate(asked), lambda pair: isinstance(pair[1], ALONE)):
        async with asyncio.TaskGroup() as tasks:
            for number, fault in batch:
                task = tasks.create_task(one(number, fault))
                if alone:
                    await asyncio.wait([task])


class Injector:
    """Finds a victim for one fault after another; no two faults share a victim at one time."""

    def __init__(self, plan: RunPlan, stand: Stand, traffic: Traffic) -> None:
        self._stand = stand
        self._traffic = traffic
        self._random = plan.random("moments")
        self._busy: set[str] = set()
        self._context = faults.FaultContext(
            place=stand.place, journal=stand.journal, database=stand.dsn, wire=stand.wire,
            server=stand.postgres, provider=stand.provider,
            environments=stand.environments, administrator=stand.administrator,
            ready_path=plan.config.service.ready,
            stretch_seconds=plan.scenario.stretch_ms / 1000,
        )  # fmt: skip
        self._step = 1  # the next one that EachStatement strikes
        self._steps_max: int | None = None  # how many a delivery has, once that is known

    async def inject(self, fault_id: str, fault: Fault) -> None:
        """One fault from asked to healed."""
        point = moment(fault)
        self._record(fault_id, fault, point, Stage.ASKED)
        if isinstance(fault, EVERYBODY):
            await self._wait_a_while()
            await faults.perform(self._of_everybody(fault_id, fault))
            return
        reason = "no transaction parked"
        victim, aim = None, None
        try:
            if point == "blind":
                await self._wait_a_while()
                victim = await self._free_replica(role_of(fault))
            elif point == "polled":
                await self._wait_a_while()
                victim = await self._polled(role_of(fault))
            else:
                victim, aim = await self._park(fault_id, fault, point)
        except ClusterError as error:
            reason = str(error)
        if victim is None:
            reason = "the traffic ended first" if self._traffic.ended.is_set() else reason
            self._record(fault_id, fault, point, Stage.MISSED, reason=reason)
            return
        try:
            await self._carry_out(fault_id, fault, point, victim, aim)
        finally:
            self._busy.discard(victim.name)

    async def _carry_out(
        self, fault_id: str, fault: Fault, point: CrashPoint, victim: Replica, aim: Aim | None
    ) -> None:
        context, name = self._context, victim.name
        park = aim.park if aim is not None else None
        act: faults.Fault
        match fault:
            case Crash():
                act = faults.Crash(context, fault_id, point, name, aim)
            case Oom():
                act = faults.Oom(context, fault_id, point, name, aim)
            case ClockSkew():
                act = faults.ClockSkew(
                    context, fault_id, name, fault.seconds, fault.lasting_seconds
                )
            case Freeze():
                act = faults.Freeze(context, fault_id, name, fault.frozen_seconds, park)
            case Graceful():
                act = faults.Graceful(context, fault_id, name)
            case Evict():
                act = faults.Evict(context, fault_id, name)
            case GhostPod():
                act = faults.GhostPod(context, fault_id, name)
            case DbDisconnect():
                act = faults.DbDisconnect(context, fault_id, name, park)
            case PowerLoss():
                act = faults.PowerLoss(context, fault_id, name, fault.dark_seconds, park)
            case _:
                raise AssertionError(fault)
        await faults.perform(act)

    def _of_everybody(self, fault_id: str, fault: Fault) -> faults.Fault:
        """A fault without a victim of its own."""
        context = self._context
        match fault:
            case DbCrash():
                return faults.DbCrash(context, fault_id, fault.down_seconds)
            case DbLatency():
                return faults.DbLatency(context, fault_id, fault.delay_ms / 1000, fault.seconds)
            case ProviderFault():
                return faults.ProviderFault(context, fault_id, fault.kind, fault.seconds)
            case RollingRestart():
                return faults.RollingRestart(context, fault_id)
            case Drain():
                return faults.Drain(context, fault_id)
            case Scale():
                return faults.Scale(context, fault_id, fault.to, fault.lasting_seconds)
            case Autoscale():
                return faults.Autoscale(
                    context, fault_id, fault.most, fault.cpu_percent, fault.calm_seconds
                )
            case Rollout():
                return faults.Rollout(context, fault_id)
            case NodeDown():
                return faults.NodeDown(context, fault_id, fault.down_seconds)
        raise AssertionError(fault)

    async def _wait_a_while(self) -> None:
        """A seeded time."""
        await asyncio.sleep(self._random.uniform(0.05, 0.8))

    async def _park(
        self, fault_id: str, fault: Fault, point: CrashPoint
    ) -> tuple[Replica | None, Aim | None]:
        """Hold some replica that no other fault works on at the asked point of a transaction.

        ClusterError, saying why the last one was no hit, if there was none in time.
        """
        deadline = time.monotonic() + PARK_SECONDS
        lease_seconds = LEASE_SECONDS + held_seconds(fault, self._context)
        role = role_of(fault)
        no_hit: ClusterError | None = None
        tried_since = time.monotonic()
        while time.monotonic() < deadline and not self._traffic.ended.is_set():
            free = await self._free(role)
            if not free:
                await asyncio.sleep(0.05)
                continue
            rule = Rule(
                rule_id=f"{fault_id}-{time.monotonic_ns()}",
                point="before" if point == "statement" else "before-commit",
                replicas=tuple(free),
                lease_seconds=lease_seconds,
                step=self._step if point == "statement" else None,
            )
            park = await self._wait_park(rule)
            if park is None:
                if point == "statement" and time.monotonic() - tried_since > STEP_SECONDS:
                    self._steps_max, self._step = max(1, self._step - 1), 1
                    tried_since = time.monotonic()
                continue
            # A transaction of orders/create is not what was asked for: let it go.
            wanted = role != "web" or await self._traffic.announced(park.keys)
            if park.replica in self._busy or not wanted:
                await self._stand.wire.release(park.hold_id, "pass")
                continue
            self._busy.add(park.replica)
            try:
                aim = await self._aim(fault, point, park)
            except ClusterError as error:  # it has been let go
                self._busy.discard(park.replica)
                no_hit = error
                continue
            if point == "statement":
                last = self._step == self._steps_max
                self._step = 1 if last else self._step + 1
            return free[park.replica], aim
        if no_hit is not None:
            raise no_hit
        return None, None

    async def _aim(self, fault: Fault, point: CrashPoint, park: Park) -> Aim:
        """What a fault needs of a park; only those that kill need a transaction with a fate."""
        if isinstance(fault, Crash | Oom):
            return await faults.take_aim(self._context, point, park)
        return Aim(park)

    async def _wait_park(self, rule: Rule) -> Park | None:
        """Arm a rule and wait for what it parks; None, and disarmed, when that takes too long."""
        await self._stand.wire.arm(rule)
        park = await self._stand.wire.next_park(rule.rule_id, timeout_seconds=1.0)
        if park is None:
            await self._stand.wire.disarm(rule.rule_id)
            park = await self._stand.wire.next_park(rule.rule_id, timeout_seconds=0.05)
        return park

    async def _free(self, role: str) -> dict[str, Replica]:
        """The ready replicas of a role that no other fault works on, by name."""
        return {
            replica.name: replica
            for replica in await self._stand.place.replicas()
            if replica.role == role and replica.ready and replica.name not in self._busy
        }

    async def _free_replica(self, role: str) -> Replica | None:
        """A replica of a role that is ready and nobody's victim, chosen by the seed."""
        for _ in range(100):
            free = await self._free(role)
            if self._traffic.ended.is_set():
                return None
            if free:
                victim = self._random.choice(list(free.values()))
                self._busy.add(victim.name)
                return victim
            await asyncio.sleep(0.05)
        return None

    async def _polled(self, role: str) -> Replica | None:
        """A free replica of a role that Postgres shows in a transaction."""
        deadline = time.monotonic() + PARK_SECONDS
        while time.monotonic() < deadline and not self._traffic.ended.is_set():
            free = await self._free(role)
            if not free:
                await asyncio.sleep(0.05)
                continue
            name = await faults.polled(self._context, free)
            if name not in self._busy:  # somebody else's by now: the next one, then
                self._busy.add(name)
                return free[name]
        return None

    def _record(
        self, fault_id: str, fault: Fault, point: str, stage: Stage, **detail: object
    ) -> None:
        self._stand.journal.fault(
            fault_id=fault_id, kind=fault.kind, point=point, stage=stage, detail=detail
        )


def role_of(fault: Fault) -> str:
    """Whom a fault strikes."""
    return fault.role if isinstance(fault, Crash) else "web"


def held_seconds(fault: Fault, context: faults.FaultContext) -> float:
    """How long a fault keeps its victim's flight, beyond what every fault needs."""
    match fault:
        case Oom() if context.administrator is not None:
            return STARVING_SECONDS
        case Freeze():
            return fault.frozen_seconds
        case PowerLoss():
            return fault.dark_seconds
        case _:
            return 0.0
