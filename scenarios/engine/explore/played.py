"""What one play of a schedule was."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.traffic import PlannedOrder
from scenarios.engine.explore.actor import Actor
from scenarios.engine.explore.moves import Move
from scenarios.engine.explore.tree import Option


@dataclass(slots=True)
class Played:
    """One order, the moves that were made with its deliveries, and how those were answered."""

    order: PlannedOrder
    cancelled: bool = False  # its last delivery is an orders/cancelled
    moves: list[Move] = field(default_factory=list)
    preemptions: int = 0
    silent: int = 0  # steps that were neither at a gate nor proved to wait
    beside: int = 0  # steps that a delivery sent while another step of it was held
    unsure: int = 0  # steps that could be of either delivery, or are in a transaction of both
    statuses: tuple[int | None, ...] = ()
    unresolved: bool = False  # some delivery got no `ok`, however often it came again

    def cancels(self, index: int) -> bool:
        """Whether a delivery is an orders/cancelled."""
        return self.cancelled and index == len(self.order.webhooks) - 1

    def add(self, move: Move, options: Sequence[Option], last: Actor | None) -> None:
        """One more move; it is a preemption if whoever moved last could have gone on."""
        if last is not None and move.actor != last.index and move.do != "start":
            self.preemptions += any(
                one.move.actor == last.index and one.move.do == "step" for one in options
            )
        self.moves.append(move)


def ok(status: int | None) -> bool:
    """Whether the sender takes it for done."""
    return status is not None and 200 <= status < 300
