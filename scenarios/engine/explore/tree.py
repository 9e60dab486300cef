"""All orders of choices, one after the other: a tree walked depth first, by playing it again.

Nothing can be undone in a real database, so each schedule is played from its beginning: at every
moment the player names the options there are, and the tree says which one is taken. Everything a
player does between two choices must be determined by the choices before. Where it is not (the
order in which Postgres wakes several waiters), options differ from those seen before: that is a
divergence, which is counted, and the tree goes on from what is there now.

With `independent` the tree leaves out what cannot matter (sleep sets, Godefroid 1996): once all
that follows a move has been seen, an order that differs only by when that move came among moves
independent of it needs no second look. A play in which everything that could be done is asleep is
ended as it may, and is not counted.

Limits: an exhaustive walk only says something about the options it is told of.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scenarios.engine.explore.footprint import Footprint
from scenarios.engine.explore.moves import Move

Independent = Callable[["Option", "Option"], bool]


@dataclass(frozen=True, slots=True)
class Option:
    """A move that could be made now, and what it would touch."""

    move: Move
    footprint: Footprint


@dataclass(slots=True)
class Node:
    """One moment of a schedule: what could be done, and what of it has been."""

    options: tuple[Option, ...]
    asleep: tuple[Option, ...]
    running: int | None  # who made the move before
    preempted: int  # how often somebody was, before this moment
    chosen: int = -1
    done: list[int] = field(default_factory=list)

    @property
    def option(self) -> Option:
        """What is taken here now."""
        return self.options[self.chosen]

    def preempts(self, index: int) -> bool:
        """Whether an option makes somebody wait who could go on."""
        actor = self.options[index].move.actor
        return actor != self.running and any(
            one.move.actor == self.running and one.move.do == "step" for one in self.options
        )


class AsleepError(Exception):
    """Everything that could be done now has been seen elsewhere: this play need not go on."""


class Tree:
    """Which option is taken at which moment of which play."""

    def __init__(
        self, *, independent: Independent | None = None, preemptions_max: int | None = None
    ) -> None:
        self.divergences = 0
        self._independent = independent
        self._preemptions_max = preemptions_max
        self._path: list[Node] = []
        self._depth = 0

    def begin(self) -> None:
        """A play begins."""
        self._depth = 0

    def choose(self, options: Sequence[Option]) -> int:
        """Which option this play takes now; AsleepError when none is worth it."""
        depth, self._depth = self._depth, self._depth + 1
        if depth < len(self._path):
            node = self._path[depth]
            if node.options == tuple(options):
                return node.chosen
            self.divergences += 1
            del self._path[depth:]
        node = self._node(tuple(options), self._path[-1] if self._path else None)
        node.chosen = self._next(node)
        if node.chosen < 0:
            raise AsleepError
        self._path.append(node)
        return node.chosen

    def advance(self) -> bool:
        """Turn to the next schedule; False when there is none."""
        del self._path[self._depth :]  # a play that was shorter than the one before
        while self._path:
            node = self._path[-1]
            node.done.append(node.chosen)
            node.chosen = self._next(node)
            if node.chosen >= 0:
                return True
            self._path.pop()
        return False

    def _node(self, options: tuple[Option, ...], before: Node | None) -> Node:
        if before is None:
            return Node(options, (), None, 0)
        asleep: tuple[Option, ...] = ()
        if self._independent is not None:
            taken = before.option
            seen = [*before.asleep, *(before.options[index] for index in before.done)]
            asleep = tuple(one for one in seen if self._independent(one, taken))
        preempted = before.preempted + before.preempts(before.chosen)
        return Node(options, asleep, before.option.move.actor, preempted)

    def _next(self, node: Node) -> int:
        """The first option of a node that has not been taken, sleeps not and is within bounds."""
        asleep = {one.move for one in node.asleep}
        for index, option in enumerate(node.options):
            if index in node.done or option.move in asleep:
                continue
            if self._preemptions_max is not None and (
                node.preempted + node.preempts(index) > self._preemptions_max
            ):
                continue
            return index
        return -1
