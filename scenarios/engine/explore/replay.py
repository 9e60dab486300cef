"""Plays one stored schedule again, as often as asked, and says whether it led to the same.

At each moment the next move of the file must be among what could be done; where it is not, the
service or its database behaves otherwise than when the schedule was found, and the step is named.

A service that was mended takes other steps. `Order` keeps to what is left of a schedule then: who
moves when, and who dies. So a schedule stays a regression test when its bug is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from results.checker import find_anomalies
from results.errors import OnceproofError
from results.run_folder import RunFolder
from scenarios.engine.explore.ending import AT_ONCE, let_everything_end
from scenarios.engine.explore.exploration import staged
from scenarios.engine.explore.explored import codes_of, number
from scenarios.engine.explore.moves import Move, Schedule
from scenarios.engine.explore.played import Played
from scenarios.engine.explore.tree import Option
from scenarios.engine.explore.walk import orders
from scenarios.engine.plan import RunPlan, opened
from scenarios.engine.stand import Watch


class DivergedError(OnceproofError):
    """A move of the file could not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of playing a schedule again."""

    schedule: Schedule
    folder: RunFolder
    played: int  # to the end
    same: int  # of those, with exactly the stored codes
    clean: int  # of those, without any
    codes: tuple[tuple[str, ...], ...]  # of each that was played to the end
    diverged: tuple[str, ...]  # why others were not


@dataclass(slots=True)
class Script:
    """Chooses what a schedule says, move after move."""

    moves: Sequence[Move]
    at: int = 0

    def choose(self, options: Sequence[Option]) -> int:
        """The option that is the next move; DivergedError when there is none."""
        if self.at >= len(self.moves):
            raise DivergedError(
                f"after its last move the schedule should have ended, but {told(options)}."
            )
        wanted = self.moves[self.at]
        for index, option in enumerate(options):
            if option.move == wanted:
                self.at += 1
                return index
        raise DivergedError(
            f"move {self.at + 1} of {len(self.moves)} should be {wanted.name}: {wanted.do} "
            f"{wanted.at!r}, but {told(options)}."
        )


@dataclass(slots=True)
class Order:
    """Chooses whose move it is as a schedule says, whatever the step is now."""

    moves: Sequence[Move]
    at: int = 0

    def choose(self, options: Sequence[Option]) -> int:
        """The next delivery that can move; when all moves have been made, whoever can."""
        while self.at < len(self.moves):
            wanted = self.moves[self.at]
            self.at += 1
            whose = [one for one in options if one.move.actor == wanted.actor]
            if whose:
                whose.sort(key=lambda one: (one.move != wanted, one.move.do != wanted.do))
                return options.index(whose[0])
        return 0


def told(options: Sequence[Option]) -> str:
    """What could be done instead."""
    steps = [f"{one.move.name}: {one.move.at!r}" for one in options if one.move.do == "step"]
    return f"what could be done was {' or '.join(steps)}" if steps else "nothing could be done"


async def replay(
    plan: RunPlan, schedule: Schedule, times: int, watch: Watch, *, mended: bool = False
) -> Replay:
    """Play it so many times, each with an order of its own, and judge them together.

    `mended`: the service has changed since, only the order of the deliveries is kept.
    """
    played: list[Played] = []
    diverged: dict[int, str] = {}
    async with opened(plan) as folder, staged(plan, folder, [schedule.where], watch) as parts:
        lab, sending, stage = parts
        some = orders(schedule.where, lab, sending, at_once=times)
        for turn in range(times):
            script = Order(schedule.moves) if mended else Script(schedule.moves)
            one = Played(await anext(some), schedule.where.cancelled)
            played.append(one)
            try:
                await stage.play(
                    one, schedule.where.crashes, script.choose, unanswered=True,
                    one_process=schedule.where.one_process,
                )  # fmt: skip
            except DivergedError as error:
                diverged[turn] = f"play {turn + 1}: {error}"
        await some.aclose()
        at_once = 1 if schedule.where.one_process else AT_ONCE
        settled = await let_everything_end(lab, sending, played, watch, at_once=at_once)
        await lab.ledger.snapshot("final")
    codes = codes_of(find_anomalies(folder.load())[0])
    if mended:
        for turn, one in enumerate(played):
            if why := unproved(one, settled=settled):
                diverged.setdefault(turn, f"play {turn + 1} proves nothing: {why}")
    found = [
        tuple(sorted(codes.get(one.order.order_id, ()), key=number))
        for turn, one in enumerate(played)
        if turn not in diverged
    ]
    return Replay(
        schedule=schedule, folder=folder, played=len(found), codes=tuple(found),
        same=sum(one == schedule.codes for one in found), clean=found.count(()),
        diverged=tuple(diverged.values()),
    )  # fmt: skip


def unproved(one: Played, *, settled: bool) -> str:
    """Why a play without a code would still not show that the service is right; "" if it would."""
    silent = len(one.order.webhooks) - len({move.actor for move in one.moves if move.do != "start"})
    if silent:
        return f"{silent} of its deliveries had no step that came through the wire."
    if one.unresolved:
        return "a delivery was never acknowledged."
    return "" if settled else "something still moved when it was judged."
