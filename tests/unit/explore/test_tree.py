"""The walk through all schedules, against a plain enumeration of small abstract machines.

The oracle recurses over a machine that can be copied; the tree has to play it again and again, as
it must with a database.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from scenarios.engine.explore import races, tree
from scenarios.engine.explore.effect import Effect, independent
from scenarios.engine.explore.footprint import EVERYTHING
from scenarios.engine.explore.moves import Move
from scenarios.engine.explore.tree import AsleepError, Option, Tree
from tests.unit.explore.machine import TABLES, Actor, Machine, Program

Play = tuple[tuple[int, str], ...]


def enumerate_plainly(program: Program, crashes: int = 0) -> tuple[int, set[str]]:
    """All schedules by recursion: how many, and the ends they lead to."""
    ends: set[str] = set()

    def count(path: Sequence[int]) -> int:
        machine = Machine(program, crashes=crashes)
        for index in path:
            machine.make(machine.options(None)[index])
        many = len(machine.options(None))
        if not many:
            ends.add(machine.end())
            return 1
        return sum(count([*path, index]) for index in range(many))

    return count([]), ends


def walk(
    walked: Tree, program: Program, crashes: int = 0, *, symmetric: bool = False
) -> tuple[list[Play], list[Machine], int]:
    """All schedules by the tree: what was played, where it ended, how much was ended early."""
    played, ended, early = [], [], 0
    for _ in range(100_000):
        machine = Machine(program, crashes=crashes)
        moves: list[tuple[int, str]] = []
        walked.begin()
        try:
            while options := machine.options(moves[-1][0] if moves else None, symmetric=symmetric):
                option = options[walked.choose(options)]
                machine.make(option)
                moves.append((option.move.actor, option.move.do))
        except AsleepError:
            early += 1
        else:
            played.append(tuple(moves))
            ended.append(machine)
        if not walked.advance():
            return played, ended, early
    raise AssertionError("no end")


def ends_of(machines: Sequence[Machine]) -> set[str]:
    return {one.end() for one in machines}


tables = st.sampled_from(TABLES)
step = st.one_of(
    st.builds(lambda kind, table: f"{kind}:{table}", st.sampled_from("rwwu"), tables),
    st.sampled_from(["call", "fail"]),
)
transaction = st.lists(step, max_size=4).map(tuple)
actor = st.one_of(
    transaction,
    transaction,
    st.lists(st.builds(lambda kind, table: f"{kind}:{table}", st.sampled_from("rwu"), tables),
             max_size=3).map(lambda steps: ("auto", *steps)),
)  # fmt: skip
two = st.lists(actor, min_size=2, max_size=2).map(tuple)
three = st.lists(actor.map(lambda one: one[:3]), min_size=3, max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(two)
def test_the_full_walk_is_the_plain_enumeration(program: Program) -> None:
    count, ends = enumerate_plainly(program)
    played, ended, _ = walk(Tree(), program)
    assert len(played) == len(set(played)) == count
    assert ends_of(ended) == ends


@settings(max_examples=120, deadline=None)
@given(two)
def test_the_reduced_walk_reaches_every_end(program: Program) -> None:
    _, ends = enumerate_plainly(program)
    played, ended, _ = walk(Tree(reduced=True), program)
    assert ends_of(ended) == ends
    assert len(played) == len(set(played))


@settings(max_examples=25, deadline=None)
@given(three)
def test_so_it_does_with_three(program: Program) -> None:
    _, ends = enumerate_plainly(program)
    assert ends_of(walk(Tree(reduced=True), program)[1]) == ends


@settings(max_examples=25, deadline=None)
@given(st.lists(actor.map(lambda one: one[:3]), min_size=2, max_size=2).map(tuple))
def test_so_it_does_where_one_may_die(program: Program) -> None:
    _, ends = enumerate_plainly(program, crashes=1)
    assert ends_of(walk(Tree(reduced=True), program, 1)[1]) == ends


@settings(max_examples=40, deadline=None)
@given(transaction.map(lambda one: one[:3]), st.sampled_from([2, 3]))
def test_who_differ_in_their_names_alone_begin_in_order(one: Actor, many: int) -> None:
    program = (one,) * many
    names = [*itertools.permutations(range(many))]
    plainly = walk(Tree(), program)[1]
    reduced = walk(Tree(reduced=True), program, symmetric=True)[1]
    assert {machine.end(name) for machine in plainly for name in names} == {
        machine.end(name) for machine in reduced for name in names
    }


def test_the_reduction_leaves_most_of_it_out() -> None:
    program = (("r:a", "r:b", "w:c"), ("r:a", "r:b", "w:c"))
    full, reduced = walk(Tree(), program)[0], walk(Tree(reduced=True), program)[0]
    assert len(reduced) * 4 < len(full)


def test_what_cannot_matter_at_all_is_played_once() -> None:
    program = (("r:a", "w:a"), ("r:b", "w:b"), ("r:c",))
    played, _, early = walk(Tree(reduced=True), program)
    assert len(played) == 6 and early == 0, "the orders of three ends, which others see"


RINGS = (
    (("w:a", "w:b"), ("w:b", "w:a")),
    (("w:a", "w:b"), ("w:b", "w:c"), ("w:c", "w:a")),
    (("w:a", "u:b"), ("w:b", "w:a"), ("u:b", "r:a")),
)


@pytest.mark.parametrize("program", RINGS)
def test_who_closes_a_ring_of_waiters_is_tried_each_way(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = ends_of(walk(Tree(), program)[1])
    assert ends_of(walk(Tree(reduced=True), program)[1]) == ends

    def careless(one: Effect, other: Effect) -> bool:
        return independent(replace(one, waits=False), other)

    monkeypatch.setattr(tree, "independent", careless)
    monkeypatch.setattr(races, "independent", careless)
    assert ends_of(walk(Tree(reduced=True), program)[1]) < ends


def test_a_reduction_that_takes_conflicts_for_independent_loses_an_end() -> None:
    program = (("r:a", "w:a"), ("r:a", "w:a"))
    _, ends = enumerate_plainly(program)
    found = set()
    walked = Tree(reduced=True)
    for _ in range(100):
        machine = Machine(program)
        walked.begin()
        try:
            while options := machine.options(None):
                option = options[walked.choose(options)]
                machine.make(option)
                option.effect.ends.clear()
                option.effect.visible = False
        except AsleepError:
            pass
        else:
            found.add(machine.end())
        if not walked.advance():
            break
    assert found < ends, "this is what the tests above would notice"


@pytest.mark.parametrize("most", [0, 1, 2])
def test_preemptions_are_bounded(most: int) -> None:
    program = (("r:a", "r:a"), ("r:b", "r:b"))

    def preemptions(moves: Play) -> int:
        return sum(
            before[0] != after[0] and before[0] in {one for one, _ in moves[index + 1 :]}
            for index, (before, after) in enumerate(itertools.pairwise(moves))
        )

    every = walk(Tree(), program)[0]
    bounded = walk(Tree(preemptions_max=most), program)[0]
    assert set(bounded) == {moves for moves in every if preemptions(moves) <= most}


def test_a_divergence_is_counted_and_gone_on_from() -> None:
    walked = Tree()
    first = [
        Option(Move(actor=0, at="x"), Effect.of(0, EVERYTHING)),
        Option(Move(actor=1, at="x"), Effect.of(1, EVERYTHING)),
    ]
    other = [Option(Move(actor=1, at="y"), Effect.of(1, EVERYTHING))]
    walked.begin()
    walked.choose(first)
    walked.choose(first)
    assert walked.advance()
    walked.begin()
    assert walked.choose(other) == 0  # not what was there before
    assert walked.divergences == 1
    assert not walked.advance()
