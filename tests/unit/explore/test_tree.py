"""The walk through all schedules, against a plain enumeration of small abstract machines.

A machine is a few actors, each a row of steps that touch tables: a step that writes a table is
blocked while another actor's transaction has written it, as in Postgres. Its end is what every
table saw, in which order. The oracle recurses over a machine that can be copied; the tree has to
play it again and again, as it must with a database.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from scenarios.engine.explore.footprint import EVERYTHING, Footprint, independent
from scenarios.engine.explore.moves import Move
from scenarios.engine.explore.tree import AsleepError, Option, Tree

TABLES = ("a", "b", "c")
COMMIT = "commit"
Program = tuple[tuple[str, ...], ...]  # per actor: "r:a", "w:a", ... ; a commit ends each


@dataclass
class Machine:
    """READ COMMITTED with table locks: a read sees what is committed, a write waits for writers."""

    program: Program
    at: list[int] = field(default_factory=list)
    owner: dict[str, int] = field(default_factory=dict)
    committed: dict[str, list[int]] = field(default_factory=dict)
    pending: list[dict[str, int]] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.program)
        self.at = [0] * count
        self.committed = {table: [] for table in TABLES}
        self.pending = [{} for _ in range(count)]
        self.seen = [[] for _ in range(count)]

    def next(self, actor: int) -> str | None:
        steps = self.program[actor]
        if self.at[actor] > len(steps):
            return None
        return steps[self.at[actor]] if self.at[actor] < len(steps) else COMMIT

    def enabled(self, actor: int) -> bool:
        step = self.next(actor)
        if step is None:
            return False
        return not step.startswith("w") or self.owner.get(step[2:], actor) == actor

    def take(self, actor: int) -> None:
        step = self.next(actor)
        self.at[actor] += 1
        if step == COMMIT:
            for table, times in self.pending[actor].items():
                self.committed[table] += [actor] * times
                del self.owner[table]
            self.pending[actor] = {}
        elif step is not None and step.startswith("w"):
            self.owner[step[2:]] = actor
            self.pending[actor][step[2:]] = self.pending[actor].get(step[2:], 0) + 1
        elif step is not None:
            self.seen[actor].append(f"{step[2:]}{self.committed[step[2:]]}")

    def option(self, actor: int) -> Option:
        step = self.next(actor)
        assert step is not None
        if step == COMMIT:
            touched = EVERYTHING
        else:
            table = frozenset({step[2:]})
            touched = Footprint(table if step[0] == "w" else frozenset())
        return Option(Move(actor=actor, at=f"{step} {self.at[actor]}"), touched)

    def end(self) -> str:
        return repr((self.committed, self.seen, self.at))


def options_of(machine: Machine, last: int | None) -> list[Option]:
    ready = [actor for actor in range(len(machine.program)) if machine.enabled(actor)]
    return [machine.option(actor) for actor in sorted(ready, key=lambda one: one != last)]


def enumerate_plainly(program: Program) -> tuple[int, set[str]]:
    """All schedules by recursion: how many, and the ends they lead to."""
    ends: set[str] = set()

    def count(moves: Sequence[int]) -> int:
        machine = Machine(program)
        for actor in moves:
            machine.take(actor)
        ready = [actor for actor in range(len(program)) if machine.enabled(actor)]
        if not ready:
            ends.add(machine.end())
            return 1
        return sum(count([*moves, actor]) for actor in ready)

    return count([]), ends


def walk(tree: Tree, program: Program) -> tuple[list[tuple[int, ...]], set[str]]:
    """All schedules by the tree."""
    played, ends = [], set()
    for _ in range(100_000):
        machine = Machine(program)
        moves: list[int] = []
        tree.begin()
        try:
            while options := options_of(machine, moves[-1] if moves else None):
                option = options[tree.choose(options)]
                machine.take(option.move.actor)
                moves.append(option.move.actor)
        except AsleepError:
            pass
        else:
            played.append(tuple(moves))
            ends.add(machine.end())
        if not tree.advance():
            return played, ends
    raise AssertionError("no end")


def by_footprints(one: Option, other: Option) -> bool:
    return one.move.actor != other.move.actor and independent(one.footprint, other.footprint)


steps = st.lists(
    st.builds(
        lambda kind, table: f"{kind}:{table}", st.sampled_from("rw"), st.sampled_from(TABLES)
    ),
    max_size=3,
).map(tuple)
programs = st.lists(steps, min_size=2, max_size=3).map(tuple)


@settings(max_examples=150, deadline=None)
@given(programs)
def test_the_full_walk_is_the_plain_enumeration(program: Program) -> None:
    count, ends = enumerate_plainly(program)
    played, found = walk(Tree(), program)
    assert len(played) == len(set(played)) == count
    assert found == ends


@settings(max_examples=300, deadline=None)
@given(programs)
def test_the_reduced_walk_reaches_every_end(program: Program) -> None:
    _, ends = enumerate_plainly(program)
    played, found = walk(Tree(independent=by_footprints), program)
    assert found == ends
    assert len(played) == len(set(played))


def test_the_reduction_leaves_most_of_it_out() -> None:
    program = (("r:a", "r:b", "w:c"), ("r:a", "r:b", "w:c"))
    full, reduced = walk(Tree(), program)[0], walk(Tree(independent=by_footprints), program)[0]
    assert len(reduced) * 4 < len(full)


def test_a_reduction_that_takes_conflicts_for_independent_loses_an_end() -> None:
    program = (("r:a", "w:a"), ("r:a", "w:a"))
    _, ends = enumerate_plainly(program)
    _, found = walk(Tree(independent=lambda one, other: True), program)
    assert found < ends, "this is what the test above would notice"


@pytest.mark.parametrize("most", [0, 1, 2])
def test_preemptions_are_bounded(most: int) -> None:
    program = (("r:a", "r:a"), ("r:b", "r:b"))

    def preemptions(moves: tuple[int, ...]) -> int:
        return sum(
            before != after and before in moves[index + 1 :]
            for index, (before, after) in enumerate(itertools.pairwise(moves))
        )

    every = walk(Tree(), program)[0]
    bounded = walk(Tree(preemptions_max=most), program)[0]
    assert set(bounded) == {moves for moves in every if preemptions(moves) <= most}


def test_a_divergence_is_counted_and_gone_on_from() -> None:
    tree = Tree()
    first = [Option(Move(actor=0, at="x"), EVERYTHING), Option(Move(actor=1, at="x"), EVERYTHING)]
    other = [Option(Move(actor=1, at="y"), EVERYTHING)]
    tree.begin()
    tree.choose(first)
    tree.choose(first)
    assert tree.advance()
    tree.begin()
    assert tree.choose(other) == 0  # not what was there before
    assert tree.divergences == 1
    assert not tree.advance()
