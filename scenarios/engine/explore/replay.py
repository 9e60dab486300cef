"""Plays one stored schedule again, as often as asked, and says whether it led to the same.

At each moment the next move of the file must be among what could be done; where it is not, the
service or its database behaves otherwise than when the schedule was found, and the step is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from results.checker import find_anomalies
from results.errors import OnceproofError
from results.run_folder import RunFolder
from scenarios.engine.explore.ending import let_everything_end
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
    codes: tuple[tuple[str, ...], ...]  # of each that was played to the end
    diverged: tuple[str, ...]  # why others were not


@dataclass(slots=True)
class Script:
    """Chooses what a schedule says, move after move."""

    moves: Sequence[Move]
    at: int = 0
    made: list[Move] = field(default_factory=list)

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


def told(options: Sequence[Option]) -> str:
    """What could be done instead."""
    steps = [f"{one.move.name}: {one.move.at!r}" for one in options if one.move.do == "step"]
    return f"what could be done was {' or '.join(steps)}" if steps else "nothing could be done"


async def replay(plan: RunPlan, schedule: Schedule, times: int, watch: Watch) -> Replay:
    """Play it so many times, each with an order of its own, and judge them together."""
    played: list[Played] = []
    diverged: dict[int, str] = {}
    async with opened(plan) as folder, staged(plan, folder, [schedule.where], watch) as parts:
        lab, sending, stage = parts
        some = orders(schedule.where, lab, sending, at_once=times)
        for turn in range(times):
            script = Script(schedule.moves)
            one = Played(await anext(some))
            played.append(one)
            try:
                await stage.play(one, schedule.where.crashes, script.choose, unanswered=True)
            except DivergedError as error:
                diverged[turn] = f"play {turn + 1}: {error}"
        await some.aclose()
        await let_everything_end(lab, sending, played, watch)
        await lab.ledger.snapshot("final")
    codes = codes_of(find_anomalies(folder.load())[0])
    found = [
        tuple(sorted(codes.get(one.order.order_id, ()), key=number))
        for turn, one in enumerate(played)
        if turn not in diverged
    ]
    return Replay(
        schedule=schedule, folder=folder, played=len(found), codes=tuple(found),
        same=sum(one == schedule.codes for one in found), diverged=tuple(diverged.values()),
    )  # fmt: skip
