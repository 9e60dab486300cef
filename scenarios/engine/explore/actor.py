"""One delivery on one replica, and where it stands: at a gate, waiting, answered or dead."""

import asyncio
from dataclasses import dataclass, field

from cluster.place import Replica
from cluster.wire.rules import Park
from cluster.witness.gated import HeldCall
from loadtests.traffic import Webhook
from scenarios.engine.explore.footprint import EVERYTHING, Footprint


@dataclass(slots=True, eq=False)
class Actor:
    """A delivery under way; whoever decides sees only this."""

    index: int
    replica: Replica
    webhook: Webhook
    cancels: bool = False  # it is an orders/cancelled
    sending: "asyncio.Task[int | None] | None" = None
    park: Park | None = None  # a step that waits before Postgres
    call: HeldCall | None = None  # or one that waits before the provider
    queue: list[Park | HeldCall] = field(default_factory=list)  # steps that came beside that one
    footprint: Footprint = EVERYTHING  # of the step that it took last
    slices: int = 0  # how often its process had run when it was delivered
    backend_pid: int = 0  # where that was sent; 0: nowhere
    heard: bool = False  # Postgres has answered it since the last move
    rests: bool = False  # it was seen asleep after its answer, and not heard of since
    moved: bool = False  # it has taken a step, or died before its first
    dead: bool = False
    blocked: bool = False  # proved by Postgres: it waits for somebody's lock
    silent: bool = False  # neither at a gate nor blocked nor done, and nothing moves
    zombies: set[int] = field(default_factory=set)  # backends of a dead one that still work

    @property
    def answered(self) -> bool:
        """The sender has its answer, or an error in its place."""
        return self.sending is not None and self.sending.done()

    @property
    def under_way(self) -> bool:
        """It was sent, and neither it nor its sender has come to an end."""
        return self.sending is not None and not self.dead

    @property
    def waits_within(self) -> bool:
        """It waits, and neither at a gate nor for a lock."""
        return self.under_way and not (self.at_gate or self.answered or self.blocked)

    @property
    def at_gate(self) -> bool:
        """A step of it can be taken."""
        return self.park is not None or self.call is not None

    def add(self, step: Park | HeldCall) -> bool:
        """A step has come; False if another one waits, after which it is its turn."""
        if self.at_gate:
            self.queue.append(step)
            return False
        if isinstance(step, Park):
            self.park = step
        else:
            self.call = step
        return True

    def taken(self) -> None:
        """The step at the gate is decided: it is the next one's turn."""
        self.park = self.call = None
        if self.queue:
            self.add(self.queue.pop(0))
