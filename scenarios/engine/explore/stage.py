"""Plays one schedule: deliveries start, take their steps one at a time, and one may die.

After every move the stage waits until each delivery stands still again (`stillness`), and looks at
the order in the ledger whenever something was committed or answered.

A death is a SIGKILL of the delivery's own process. What it had in flight is then either never
forwarded, or done all the same; the stage goes on once Postgres has noticed.
"""

import asyncio
from collections.abc import Callable, Sequence

from cluster.place import Replica
from cluster.wire.flight import Flight
from cluster.wire.rules import Park
from cluster.witness.gated import HeldCall
from loadtests.traffic import PlannedOrder
from results.run_folder import append_line
from scenarios.engine.explore.actor import Actor
from scenarios.engine.explore.effect import Effect
from scenarios.engine.explore.footprint import ANY, EVERYTHING, PROVIDER, Footprint
from scenarios.engine.explore.footprints import Footprints
from scenarios.engine.explore.hearing import Hearing
from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.explore.moves import CALL, START, Do, Move, shown
from scenarios.engine.explore.orders import Orders
from scenarios.engine.explore.played import Played
from scenarios.engine.explore.process_state import slices
from scenarios.engine.explore.stillness import STUCK_SECONDS, Stillness
from scenarios.engine.explore.tree import Option

READY_SECONDS = 60.0
LISTEN_SECONDS = 0.5
Choose = Callable[[Sequence[Option]], int]


class Stage:
    """Where schedules are played, one after the other, each with an order of its own."""

    def __init__(self, lab: Laboratory, orders: Orders, footprints: Footprints) -> None:
        self._lab = lab
        self._orders = orders
        self._footprints = footprints
        self._actors: list[Actor] = []
        self._still = Stillness(lab)
        self._hearing = Hearing(lab, footprints, self._still)

    @property
    def late(self) -> set[int]:
        """The orders about which a step came when their play was over; it still grows."""
        return self._hearing.late

    async def listen(self, seconds: float = LISTEN_SECONDS) -> None:
        """Learn what the service says to its database without a delivery: that is nobody's step."""
        self._hearing.listening = True
        await asyncio.sleep(seconds)
        self._hearing.listening = False

    async def play(
        self, played: Played, crashes: int, choose: Choose, *, unanswered: bool = False,
        symmetric: bool = False, one_process: bool = False,
    ) -> None:  # fmt: skip
        """One schedule to its end; whatever `choose` raises ends it early, and is raised again.

        `one_process`: all deliveries go to one replica, where they share what it shares, and so
        when the others are delivered is a choice.

        `symmetric`: of deliveries that have done nothing yet and are about to do the same, only
        the first may begin. They differ in their names alone, and so do the schedules.

        `unanswered`: a death after Postgres has answered a COMMIT is a choice, too. It leads to
        what one just before that answer leads to, so an exploration does without.
        """
        self._unanswered, self._symmetric = unanswered, symmetric
        self._played, order = played, played.order
        needed = 1 if one_process else len(order.webhooks)
        free = await self._lab.ready(needed, timeout_seconds=READY_SECONDS)
        self._actors = [
            Actor(index, free[0 if one_process else index], webhook, played.cancels(index))
            for index, webhook in enumerate(order.webhooks)
        ]
        self._hearing.begin(self._actors, played)
        self._still.together = one_process
        try:
            for actor in self._actors[:needed]:
                await self._start(actor)
            await self._choose(order, crashes, choose, played)
            self._hearing.over.add(order.order_id)
        finally:
            await self._let_all_run()
            played.statuses = tuple(
                None if one.sending is None else one.sending.result() for one in self._actors
            )

    async def _start(self, actor: Actor) -> None:
        """Deliver it; its first step is held."""
        if self._is_dead(actor.replica):
            (actor.replica,) = await self._lab.ready(1, timeout_seconds=READY_SECONDS)
        self._lab.wire.hold_steps(actor.replica.name)
        self._lab.witness.held.add(actor.replica.name)
        actor.slices = slices(actor.replica.pid)
        actor.sending = asyncio.create_task(
            self._orders.pay(
                self._played.order, actor.webhook.copy, actor.replica, cancels=actor.cancels
            )
        )
        actor.sending.add_done_callback(lambda _: self._still.moved())
        self._hearing.running = actor
        await self._settle()

    def _is_dead(self, replica: Replica) -> bool:
        return any(one.dead and one.replica is replica for one in self._actors)

    async def _settle(self, *, may_wait: bool = False) -> None:
        effect = self._hearing.effect
        await self._still.settle(self._actors, self._played, effect, may_wait=may_wait)

    async def _choose(
        self, order: PlannedOrder, crashes: int, choose: Choose, played: Played
    ) -> None:
        """Move after move, until nobody can go on."""
        last: Actor | None = None
        while True:
            options = self._options(last, crashes)
            if not options:
                if all(actor.answered or actor.dead for actor in self._actors):
                    return
                effect = self._hearing.effect
                effect.everything = True  # a timer decides, or who finds a deadlock first
                await self._still.until_at_gate(self._actors, played, effect)
                continue
            option = options[choose(options)]
            played.add(option.move, options, last)
            actor = self._actors[option.move.actor]
            last = actor if option.move.do != "start" else last
            crashes -= option.move.dies
            await self._make(option, actor)
            if option.effect.visible or option.effect.everything:
                await self.look(order)

    # ---------------------------------------------------------------- what can be done

    def _options(self, last: Actor | None, crashes: int) -> list[Option]:
        """Every step that could be taken now, first that of whoever took the last one."""
        ready = [actor for actor in self._actors if actor.at_gate]
        if self._symmetric:
            ready = _one_of_each_fresh(ready)
        ready.sort(key=lambda actor: actor is not last)
        options = [
            Option(self._move(actor), Effect.of(actor.index, self._footprint(actor)))
            for actor in ready
        ]
        if crashes:
            options += [
                Option(
                    Move(actor=actor.index, do=do, at=self._move(actor).at),
                    Effect.of(actor.index, EVERYTHING),
                )
                for actor in ready
                for do in self._deaths(actor)
            ]
        for actor in [one for one in self._actors if one.sending is None and not one.dead][:1]:
            start = Move(actor=actor.index, do="start", at=START)
            options.append(Option(start, Effect.of(actor.index, EVERYTHING)))
        return options

    def _move(self, actor: Actor) -> Move:
        at = CALL if actor.park is None else shown(actor.park.sql)
        return Move(actor=actor.index, at=at)

    def _deaths(self, actor: Actor) -> tuple[Do, ...]:
        """A step that outlives its process, a commit or a shipment, may be done all the same."""
        if actor.park is None:
            return "die-before", "die-after"
        flight = self._lab.wire.flight(actor.park)
        if flight is None or not self._may_last(flight, actor.park):
            return ("die-before",)
        return "die-before", "die-after", *(("die-unanswered",) if self._unanswered else ())

    def _may_last(self, flight: Flight, park: Park) -> bool:
        """Whether it may make something durable: what nobody understands may, outside a block."""
        alone = flight.state_before == "I" and self._footprints.of(park).everything
        return flight.may_commit or (alone and self._lab.wire.read_committed(park))

    def _footprint(self, actor: Actor) -> Footprint:
        if actor.park is None:
            return PROVIDER
        return self._footprints.of(actor.park)

    # ---------------------------------------------------------------- carrying it out

    async def _make(self, option: Option, actor: Actor) -> None:
        """Carry a move out, and note in its effect what came of it."""
        effect = self._hearing.effect = option.effect
        self._hearing.running = actor
        waited = [one for one in self._actors if one.blocked]
        open_before = [one for one in self._actors if not one.answered]
        for one in self._actors:
            one.heard = False
        await self._carry_out(option.move, actor)
        for one in waited:
            if one.heard or not one.blocked:
                effect.add(one.index, one.footprint)
        effect.visible = effect.visible or any(one.answered for one in open_before)
        for one in self._actors:
            effect.waits = effect.waits or (one.blocked and one.index in effect.actors)
            effect.everything = effect.everything or one.silent

    async def _carry_out(self, move: Move, actor: Actor) -> None:
        actor.moved = True
        if move.do == "start":
            await self._start(actor)
            return
        if move.do == "step":
            park, call = actor.park, actor.call
            actor.footprint = self._footprint(actor)
            actor.backend_pid = park.backend_pid if park is not None else 0
            actor.taken()
            self._decide(park or call, passes=True)
        elif move.do == "die-unanswered":
            await self._die_unanswered(actor)
        else:
            await self._die(actor, lasts=move.do == "die-after")
        await self._settle(may_wait=self._may_wait(actor))

    def _may_wait(self, actor: Actor) -> bool:
        """Whether its step wants what another one's open transaction holds, or may do so."""
        if actor.dead or actor.footprint.everything:
            return True
        return any(
            one.dead
            or not self._footprints.held_by(one.replica.name).isdisjoint(
                actor.footprint.writes | {ANY}
            )
            for one in self._actors
            if one is not actor and self._lab.wire.busy(one.replica.name)
        )

    async def _die(self, actor: Actor, *, lasts: bool) -> None:
        """SIGKILL; then its last step is carried out all the same, or never.

        Whoever is under way in the same process dies with it, and its steps never happen.
        """
        wire, name = self._lab.wire, actor.replica.name
        actor.footprint = self._footprint(actor)
        own = actor.park or actor.call
        dying = [one for one in self._hearing.on(name) if not one.answered or one is actor]
        others = [
            step
            for one in dying
            for step in (one.park, one.call, *one.queue)
            if step is not None and step is not own
        ]
        for one in dying:
            one.park, one.call, one.queue, one.dead = None, None, [], True
            one.zombies = set(wire.open(name))
        await self._lab.place.crash(actor.replica)
        await self._lab.place.death(actor.replica, timeout_seconds=STUCK_SECONDS)
        await self._still.until(lambda: wire.heard_of_end(name))
        self._decide(own, passes=lasts)
        for step in others:
            self._decide(step, passes=False)

    def _decide(self, step: Park | HeldCall | None, *, passes: bool) -> None:
        if isinstance(step, HeldCall):
            step.decide(passes=passes)
        elif step is not None:
            self._lab.wire.decide(step, "pass" if passes else "drop")

    async def _die_unanswered(self, actor: Actor) -> None:
        """Let its step be done, keep the answer, then SIGKILL."""
        wire, name, park = self._lab.wire, actor.replica.name, actor.park
        assert park is not None
        wire.hold_answer(name, "answer")
        actor.park = None
        wire.decide(park, "pass")
        try:
            await self._still.until(lambda: actor.at_gate or actor.answered)
        finally:
            wire.disarm("answer")
        await self._die(actor, lasts=False)

    async def _let_all_run(self) -> None:
        """Hold nothing any more, and wait for all answers."""
        for actor in self._actors:
            self._lab.wire.let_run(actor.replica.name)
            self._lab.witness.held.discard(actor.replica.name)
        for actor in self._actors:
            for step in (actor.park, actor.call, *actor.queue):
                self._decide(step, passes=True)
            actor.park, actor.call, actor.queue = None, None, []
        tasks = [actor.sending for actor in self._actors if actor.sending is not None]
        if tasks:
            await asyncio.wait(tasks)
        self._hearing.end()

    async def look(self, order: PlannedOrder) -> None:
        """Note what the ledger holds of it now: what was last noted holds until then."""
        snapshot = await self._lab.look.at([(order.shop, order.order_id)])
        append_line(self._lab.folder.ledger, snapshot)


def _one_of_each_fresh(ready: Sequence[Actor]) -> list[Actor]:
    """Without those that have not moved and wait at the same step as an earlier one."""
    kept: list[Actor] = []
    steps: set[tuple[bool, str]] = set()
    for actor in ready:
        if not actor.moved:
            step = shown(actor.park.sql) if actor.park is not None else CALL
            if (actor.cancels, step) in steps:
                continue
            steps.add((actor.cancels, step))
        kept.append(actor)
    return kept
