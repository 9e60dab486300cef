"""All orders of choices, one after the other: a tree walked depth first, by playing it again.

Nothing can be undone in a real database, so each schedule is played from its beginning: at every
moment the player names the options there are, and the tree says which one is taken. Everything a
player does between two choices must be determined by the choices before. Where it is not (the
order in which Postgres wakes several waiters), options differ from those seen before: that is a
divergence, which is counted, and the tree goes on from what is there now.

Reduced, it plays one order of all that differ only in the order of independent moves. Two things
see to that. *Sleep sets* (Godefroid 1996): once all that follows a move has been seen, it needs no
second look until something happens that depends on it; a play in which everything that could be
done is asleep is ended as it may, and is not counted. *Source sets* (Abdulla, Aronis, Jonsson,
Sagonas 2014): another delivery's move is tried at a moment only if a later move was seen to race
with the one that was made there (`races`). While a process may still die everything is tried
everywhere, for a death takes a choice away from the others.

Both ask what a move did when it was made, not what its text lets fear: the player fills an
option's `effect` in until it makes the next choice.

Limits: an exhaustive walk only says something about the options it is told of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scenarios.engine.explore.effect import Effect, independent
from scenarios.engine.explore.moves import Move
from scenarios.engine.explore.races import Event, races


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A move that could be made now, and what it does, as far as is known."""

    move: Move
    effect: Effect


@dataclass(slots=True)
class Node:
    """One moment of a schedule: what could be done, and what of it has been."""

    options: list[Option]
    asleep: tuple[Option, ...]
    running: int | None  # who made the move before
    preempted: int  # how often somebody was, before this moment
    every: bool  # all options are worth a try, not only those in `wanted`
    wanted: set[int] = field(default_factory=set)  # deliveries
    chosen: int = -1
    done: list[int] = field(default_factory=list)
    event: Event | None = None  # what was chosen, once all is known of it

    @property
    def option(self) -> Option:
        """What is taken here now."""
        return self.options[self.chosen]

    def preempts(self, index: int) -> bool:
        """Whether an option makes somebody wait who could go on."""
        actor = self.options[index].move.actor
        if self.options[index].move.do == "start":
            return False
        return actor != self.running and any(
            one.move.actor == self.running and one.move.do == "step" for one in self.options
        )


class AsleepError(Exception):
    """Everything that could be done now has been seen elsewhere: this play need not go on."""


class Tree:
    """Which option is taken at which moment of which play."""

    def __init__(self, *, reduced: bool = False, preemptions_max: int | None = None) -> None:
        self.divergences = 0
        self._reduced = reduced
        self._preemptions_max = preemptions_max
        self._path: list[Node] = []
        self._depth = 0

    def begin(self) -> None:
        """A play begins."""
        self._depth = 0

    def choose(self, options: Sequence[Option]) -> int:
        """Which option this play takes now; AsleepError when none is worth it."""
        self._made()
        depth, self._depth = self._depth, self._depth + 1
        if depth < len(self._path):
            node = self._path[depth]
            if [one.move for one in node.options] == [one.move for one in options]:
                if node.event is None:
                    node.options[node.chosen] = options[node.chosen]
                return node.chosen
            self.divergences += 1
            del self._path[depth:]
        node = self._node(options, self._path[-1] if self._path else None)
        node.chosen = self._next(node)
        if node.chosen < 0:
            raise AsleepError
        self._path.append(node)
        return node.chosen

    def advance(self) -> bool:
        """Turn to the next schedule; False when there is none."""
        self._made()
        del self._path[self._depth :]  # a play that was shorter than the one before
        while self._path:
            node = self._path[-1]
            node.done.append(node.chosen)
            node.event = None
            node.chosen = self._next(node)
            if node.chosen >= 0:
                return True
            self._path.pop()
        return False

    def _node(self, options: Sequence[Option], before: Node | None) -> Node:
        every = not self._reduced or any(one.move.dies for one in options)
        if before is None:
            return Node([*options], (), None, 0, every)
        asleep: tuple[Option, ...] = ()
        if self._reduced:
            taken = before.option.effect
            seen = [*before.asleep, *(before.options[index] for index in before.done)]
            asleep = tuple(one for one in seen if independent(one.effect, taken))
        preempted = before.preempted + before.preempts(before.chosen)
        move = before.option.move
        running = move.actor if move.do != "start" else before.running
        return Node([*options], asleep, running, preempted, every)

    def _next(self, node: Node) -> int:
        """The first option of a node that is wanted, has not been taken and sleeps not."""
        asleep = {one.move for one in node.asleep}
        for index, option in enumerate(node.options):
            if index in node.done or option.move in asleep:
                continue
            if self._preemptions_max is not None and (
                node.preempted + node.preempts(index) > self._preemptions_max
            ):
                continue
            if not node.every and node.wanted and option.move.actor not in node.wanted:
                continue
            node.wanted.add(option.move.actor)
            return index
        return -1

    def _made(self) -> None:
        """All is known of the latest move: whom of the earlier ones does it race with?"""
        if not self._reduced or not 0 < self._depth <= len(self._path):
            return
        latest = self._path[self._depth - 1]
        if latest.event is not None:
            return
        events = [node.event for node in self._path[: self._depth - 1] if node.event is not None]
        offered = [{one.move.actor for one in node.options} for node in self._path[: self._depth]]
        latest.event = Event(latest.option.move.actor, latest.option.effect)
        for index, initials in races(events, latest.event, offered):
            self._want(self._path[index], initials)

    @staticmethod
    def _want(node: Node, initials: set[int]) -> None:
        """Try one of these there, unless one is tried already, or has been seen elsewhere."""
        asleep = {one.move for one in node.asleep}
        if node.every or initials & node.wanted:
            return
        could = [one.move for one in node.options if one.move.actor in initials]
        if not could:
            node.every = True  # it cannot be; to try all is always right
        elif not any(move in asleep for move in could):
            node.wanted.add(could[0].actor)
