"""What one move did, as it was observed, and which moves cannot matter to each other.

A move is a step that is let go, and all that comes of it until everybody stands still again: it
may end another delivery's wait, which then goes on to its own next gate; it may fail, which frees
at once what its transaction held; and somebody may be answered. All of that is one effect, put
together from the footprints of the steps that were done and from what was heard.

Two moves are independent where both could be made if both orders lead to the same:

- They move different deliveries.
- They write or lock different tables. What is not committed is not seen by plain reads.
- Neither publishes or frees what the other reads, writes or frees.
- At most one is visible: publishes, calls the provider, or answers a sender. The order of what is
  seen from outside is what the judges judge.
- At most one of them ends waiting. Two that wait may close a ring, and who of them is the victim
  depends on who came first.

So a step that waits commutes with one of the transaction that it waits for, as long as that one
succeeds: it is observed that it did, and it does so in either order, because the waiting step
touches none of its tables.
"""

from dataclasses import dataclass, field

from scenarios.engine.explore.footprint import ANY, Footprint


@dataclass(slots=True)
class Effect:
    """What a move touches, as far as is known by now."""

    actors: set[int] = field(default_factory=set)  # who moved: itself, and whose wait it ended
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)  # published, or freed
    visible: bool = False
    waits: bool = False  # somebody of them stands waiting after it
    everything: bool = False

    @classmethod
    def of(cls, actor: int, footprint: Footprint) -> "Effect":
        """A step that has not been taken yet."""
        effect = cls()
        effect.add(actor, footprint)
        return effect

    @property
    def frees(self) -> bool:
        """Whether somebody's wait may have ended with it."""
        return bool(self.ends) or self.everything

    def add(self, actor: int, footprint: Footprint) -> None:
        """Somebody's step was done in this move, or now waits."""
        self.actors.add(actor)
        self.reads |= footprint.reads
        self.writes |= footprint.writes
        self.ends |= footprint.ends
        self.visible = self.visible or footprint.visible
        self.everything = self.everything or footprint.everything

    def failed(self, held: frozenset[str]) -> None:
        """A statement of it failed: its transaction's locks are free."""
        self.ends |= held
        self.everything = self.everything or ANY in held


def independent(one: Effect, other: Effect) -> bool:
    """Whether the order of two moves cannot matter, where both could be made."""
    if one.everything or other.everything or one.actors & other.actors:
        return False
    if (one.visible and other.visible) or (one.waits and other.waits):
        return False
    return not (one.writes & other.writes or _crosses(one, other) or _crosses(other, one))


def _crosses(one: Effect, other: Effect) -> bool:
    """Whether what one publishes or frees is touched by the other."""
    return bool(one.ends & (other.reads | other.writes | other.ends))
