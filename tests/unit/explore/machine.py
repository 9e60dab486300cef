"""An abstract machine: a few deliveries, each a row of steps on tables with Postgres' locks.

Whoever wants what another has written waits in its row, and goes on as a part of the move that
frees it; who closes a ring of waiters fails, and so does a `u:` step on a table that somebody else
has published; what fails frees all that it held. Its end is what every table saw and every read
returned, and in which order anything was seen from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scenarios.engine.explore.effect import Effect
from scenarios.engine.explore.footprint import EVERYTHING, PROVIDER, Footprint
from scenarios.engine.explore.moves import Move
from scenarios.engine.explore.tree import Option

TABLES = ("a", "b", "c")
END = "end"
Actor = tuple[str, ...]  # "r:a", "w:a", "u:a", "call", "fail"; first "auto": no transaction
Program = tuple[Actor, ...]


@dataclass
class Machine:
    """READ COMMITTED with a lock for each table."""

    program: Program
    at: list[int] = field(default_factory=list)
    waiting: dict[int, str] = field(default_factory=dict)  # in the order in which they came
    owner: dict[str, int] = field(default_factory=dict)
    committed: dict[str, list[int]] = field(default_factory=dict)
    held: list[list[str]] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    crashes: int = 0

    def __post_init__(self) -> None:
        self.at = [1 if "auto" in one else 0 for one in self.program]
        self.committed = {table: [] for table in TABLES}
        self.held = [[] for _ in self.program]
        self.seen = [[] for _ in self.program]

    def next(self, actor: int) -> str | None:
        steps = self.program[actor]
        if actor in self.waiting or self.at[actor] > len(steps):
            return None
        return steps[self.at[actor]] if self.at[actor] < len(steps) else END

    def footprint(self, actor: int, step: str) -> Footprint:
        held, table = frozenset(self.held[actor]), frozenset({step[2:]})
        if step == END:
            return Footprint(ends=held, visible=bool(held))
        if step == "call":
            return PROVIDER
        if step[0] == "r":
            return Footprint(reads=table)
        alone = "auto" in self.program[actor]
        return Footprint(writes=table, ends=table if alone else frozenset(), visible=alone)

    def take(self, actor: int, effect: Effect) -> None:
        """The actor's next step, and all that comes of it."""
        step = self.next(actor)
        assert step is not None
        self.at[actor] += 1
        if step == END:
            self._finish(actor, effect, publish=True)
        elif step == "call":
            self.outside.append(f"call {actor}")
        elif step == "fail":
            self._finish(actor, effect, publish=False)
        elif step[0] == "r":
            self.seen[actor].append(f"{step[2:]}{self.committed[step[2:]]}")
        elif self.owner.get(step[2:], actor) == actor:
            self._write(actor, step, effect)
        elif self._closes_a_ring(actor, step[2:]):
            self._finish(actor, effect, publish=False)
        else:
            self.waiting[actor] = step
        effect.waits = any(one in self.waiting for one in effect.actors)

    def die(self, actor: int, effect: Effect) -> None:
        self.crashes -= 1
        self.outside.append(f"dead {actor}")
        self._finish(actor, effect, publish=False)

    def _closes_a_ring(self, actor: int, table: str) -> bool:
        owner = self.owner[table]
        while owner in self.waiting:
            owner = self.owner[self.waiting[owner][2:]]
            if owner == actor:
                return True
        return False

    def _write(self, actor: int, step: str, effect: Effect) -> None:
        table = step[2:]
        if step[0] == "u" and any(one != actor for one in self.committed[table]):
            self._finish(actor, effect, publish=False)
        elif "auto" in self.program[actor]:
            self.committed[table].append(actor)
            self.outside.append(f"{actor} {table}")
            self._free({table}, effect)
        else:
            self.owner[table] = actor
            self.held[actor].append(table)

    def _finish(self, actor: int, effect: Effect, *, publish: bool) -> None:
        tables, self.held[actor] = self.held[actor], []
        if publish:
            for table in tables:
                self.committed[table].append(actor)
        else:
            effect.failed(frozenset(tables))
        self.at[actor] = len(self.program[actor]) + 1
        self.outside.append(f"{actor} {publish} {sorted(tables)}")
        effect.visible = True
        self._free(set(tables), effect)

    def _free(self, tables: set[str], effect: Effect) -> None:
        for table in tables:
            self.owner.pop(table, None)
        for table in sorted(tables):
            for one, step in [*self.waiting.items()]:
                if step[2:] == table and table not in self.owner and one in self.waiting:
                    del self.waiting[one]
                    effect.add(one, self.footprint(one, step))
                    self._write(one, step, effect)

    def options(self, last: int | None, *, symmetric: bool = False) -> list[Option]:
        ready = [one for one in range(len(self.program)) if self.next(one) is not None]
        if symmetric:
            fresh = [one for one in ready if self.at[one] == 0]
            ready = [one for one in ready if one not in fresh[1:]]
        ready.sort(key=lambda one: one != last)
        said = {one: f"{self.next(one)} {self.at[one]}" for one in ready}
        found = []
        for one in ready:
            step = self.next(one)
            assert step is not None
            footprint = Footprint() if step == "fail" else self.footprint(one, step)
            found.append(Option(Move(actor=one, at=said[one]), Effect.of(one, footprint)))
        if self.crashes:
            found += [
                Option(Move(actor=one, do="die-before", at=said[one]), Effect.of(one, EVERYTHING))
                for one in ready
            ]
        return found

    def make(self, option: Option) -> None:
        if option.move.do == "step":
            self.take(option.move.actor, option.effect)
        else:
            self.die(option.move.actor, option.effect)

    def end(self, names: Sequence[int] | None = None) -> str:
        """What it came to; with other names for the actors, if given."""
        called = names if names is not None else range(len(self.program))
        outside = " ".join(self.outside)
        text = f"{self.committed} {self.seen} {self.at} {outside}"
        if names is None:
            return text
        seen = [self._renamed(str(self.seen[one]), called) for one in _inverse(called)]
        return f"{self._renamed(f'{self.committed} {outside}', called)} {seen}"

    @staticmethod
    def _renamed(text: str, names: Sequence[int]) -> str:
        return "".join(str(names[int(one)]) if one.isdigit() else one for one in text)


def _inverse(names: Sequence[int]) -> list[int]:
    return [names.index(one) for one in range(len(names))]
