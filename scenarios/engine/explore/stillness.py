"""Waiting until every delivery stands still: only then is what can be done next determined.

A delivery stands still at its next gate, or answered with nothing open and its process asleep, or
waiting for a lock, which Postgres itself says (pg_isolation_test_session_is_blocked, what its own
isolation tests rely on). A dead one does when its backends are gone, or wait for a lock as well.
What is none of these and does not move for `SILENT_SECONDS` is *silent*: it waits for something
within its own process (a pool, a lock, a timer). That is inferred, not proved, so it is counted,
and an exploration with silent steps is not called exhaustive.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from results.errors import HarnessError
from scenarios.engine.explore.actor import Actor
from scenarios.engine.explore.effect import Effect
from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.explore.played import Played
from scenarios.engine.explore.process_state import asleep, slices

LOOK_SECONDS = 0.001  # then twice that, and so on: who waits for a lock waits for long
LOOK_MAX_SECONDS = 0.016
ENDING_SECONDS = 0.0003
SILENT_SECONDS = 1.0
STUCK_SECONDS = 20.0
# All asleep for so long, at every look: somebody waits within their process.
WITHIN_SECONDS = 0.02
WITHIN_LOOKS = 10
BLOCKED = "SELECT bool_or(pg_isolation_test_session_is_blocked(pid, $2)) FROM unnest($1::int[]) pid"
LIVING = "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE pid = ANY($1::int[])"
STUCK = "A schedule stopped moving. Look into the logs of the run."


class Stillness:
    """Hears of every movement, and knows when there is none left."""

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._movements = 0
        self._waiting: asyncio.Future[None] | None = None
        self.together = False  # all deliveries are in one process

    def moved(self, *, arrives: bool = True) -> None:
        """Something happened: a park, an answer, an end; or (`arrives` is False) it goes on."""
        self._movements += 1
        if arrives and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def settle(
        self, actors: Sequence[Actor], played: Played, effect: Effect, *, may_wait: bool = False
    ) -> None:
        """Until everybody is at a gate, done, dead with nothing left, or proved to be waiting.

        Who waited before the move waits still if it has freed nothing: that needs no new proof.
        `may_wait`: the step wants what another holds, so Postgres is asked soon whether it waits.
        """
        if self.together:
            await self._settle_together(actors, played)
            return
        waited = [actor for actor in actors if actor.blocked]
        for actor in actors:
            actor.blocked = actor.silent = False
        quiet_since = time.monotonic()
        look_seconds = LOOK_SECONDS if may_wait or (waited and effect.frees) else LOOK_MAX_SECONDS
        while restless := [actor for actor in actors if not self._rests(actor)]:
            before = self._movements
            if not effect.frees and all(one in waited and not one.heard for one in restless):
                for actor in restless:
                    actor.blocked = True
                return
            seconds = ENDING_SECONDS if self._ending(restless) else look_seconds
            if await self._moves(seconds, before):
                quiet_since = time.monotonic()
                continue
            look_seconds = min(2 * look_seconds, LOOK_MAX_SECONDS)
            if await self._all_blocked(restless, actors, before):
                return
            if time.monotonic() - quiet_since > SILENT_SECONDS:
                for actor in restless:
                    if not actor.blocked:
                        actor.silent = True
                        played.silent += 1
                return

    async def _settle_together(self, actors: Sequence[Actor], played: Played) -> None:
        """Until their process sleeps, and Postgres owes it nothing that is not proved to wait.

        Who then is at no gate, not answered and does not wait for a lock waits within the process,
        for what another one has: that is inferred, and counted as silent.
        """
        moved_at = since = time.monotonic()
        looks = 0
        while not all(one.at_gate or one.sending is None for one in actors):
            before = self._movements
            if await self._moves(LOOK_SECONDS, before):
                moved_at = since = time.monotonic()
                looks = 0
                continue
            still = await self._all_still(actors) and self._movements == before
            within = [one for one in actors if one.waits_within]
            now = time.monotonic()
            since, looks = (since, looks + 1) if still else (now, 0)
            taken = all(slices(one.replica.pid) != one.slices for one in within)
            long = taken and looks >= WITHIN_LOOKS and now - since > WITHIN_SECONDS
            if (still and (not within or long)) or now - moved_at > SILENT_SECONDS:
                played.silent += sum(not one.silent for one in within)
                for one in actors:
                    one.silent = one in within
                return

    async def _all_still(self, actors: Sequence[Actor]) -> bool:
        replicas = {one.replica.name: one.replica for one in actors if one.under_way}
        if not all(asleep(one.pid) for one in replicas.values()):
            return False
        owed = {pid for name in replicas for pid in self._lab.wire.backends(name)}
        for actor in actors:
            mine = owed & {actor.backend_pid}
            if actor.dead and actor.zombies:
                mine = set(await self._lab.observer.fetchval(LIVING, list(actor.zombies)))
                actor.zombies = mine
            actor.blocked = bool(mine) and await self._blocked(actor, actors)
            if mine and not actor.blocked:
                return False
            owed -= mine
        return not owed

    @staticmethod
    def _ending(restless: list[Actor]) -> bool:
        """Whether all that is missing is that somebody who has answered falls asleep."""
        return all(actor.answered for actor in restless)

    def _rests(self, actor: Actor) -> bool:
        if actor.dead:
            return not actor.zombies
        if actor.at_gate or actor.sending is None or actor.rests:
            return True
        actor.rests = (
            actor.answered
            and not self._lab.wire.busy(actor.replica.name)
            and asleep(actor.replica.pid)
        )
        return actor.rests

    async def _all_blocked(
        self, restless: list[Actor], actors: Sequence[Actor], before: int
    ) -> bool:
        """Whether all of them wait for locks, asked of Postgres while nothing else moved."""
        for actor in restless:
            if actor.dead:
                actor.zombies = set(await self._lab.observer.fetchval(LIVING, list(actor.zombies)))
            actor.blocked = not (actor.dead and not actor.zombies) and await self._blocked(
                actor, actors
            )
        return self._movements == before and all(
            actor.blocked or self._rests(actor) for actor in restless
        )

    async def _blocked(self, actor: Actor, actors: Sequence[Actor]) -> bool:
        mine = list(actor.zombies) or list(self._lab.wire.backends(actor.replica.name))
        if self.together and not actor.dead:
            mine = [actor.backend_pid]
        if not mine:
            return False
        everybody = [
            pid for one in actors for pid in (*self._lab.wire.open(one.replica.name), *one.zombies)
        ]
        return bool(await self._lab.observer.fetchval(BLOCKED, mine, everybody))

    async def _moves(self, seconds: float, before: int) -> bool:
        """Wait for so long, or until something arrives; whether anything has moved since."""
        if self._movements == before:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(seconds, _end, self._waiting)
            try:
                await self._waiting
            finally:
                timer.cancel()
        return self._movements != before

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is bound to happen."""
        deadline = time.monotonic() + STUCK_SECONDS
        while not condition():
            await self._moves(LOOK_SECONDS, self._movements)
            if time.monotonic() > deadline:
                raise HarnessError(STUCK)

    async def until_at_gate(self, actors: Sequence[Actor], played: Played, effect: Effect) -> None:
        """Nobody is at a gate: wait for a deadlock's end, a timer, or the sender's patience."""
        deadline = time.monotonic() + STUCK_SECONDS
        while not any(actor.at_gate for actor in actors):
            if all(actor.answered or actor.dead for actor in actors):
                return
            if time.monotonic() > deadline:
                raise HarnessError(STUCK)
            await self._moves(LOOK_SECONDS, self._movements)
        await self.settle(actors, played, effect)


def _end(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
