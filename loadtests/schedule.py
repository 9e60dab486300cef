"""What one sending process has still to do: its share of the plan, and the count of what it did.

A plain object without Locust in it: users take orders from it, each order exactly once. An order
that comes to its turn later than `SHED_AFTER_SECONDS` is shed and counted: sending it late would
hide that the generator could not keep its schedule.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtests.traffic import ORDERS_MAX, PlannedOrder, plan_orders

SHED_AFTER_SECONDS = 2.0
LEAD_SECONDS = 1.0  # the first order comes so long after the start: users and connections are up


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmOptions:
    """What the command line or the web form said."""

    orders: int  # 0: until stopped
    rate: float
    copies: int
    distinct_ids: bool
    seed: int
    retries: int
    time_scale: float
    create_first: bool
    targets: tuple[tuple[str, str], ...]  # (replica name, base URL)
    secret: str
    worker: int = 0
    workers: int = 1


@dataclass(slots=True)
class Schedule:
    """The orders of one process and their due times."""

    options: SwarmOptions
    began_ns: int = field(default_factory=time.monotonic_ns)
    sent: int = 0
    shed: int = 0
    stopped: bool = False
    unfinished: int = 0
    _turn: Iterator[int] = field(default_factory=itertools.count)
    _plan: Iterator[PlannedOrder] | None = None

    @property
    def planned(self) -> int:
        """How many orders this process was asked for; those taken so far if there is no end."""
        options = self.options
        if not options.orders:
            return self.sent + self.shed
        return options.orders // options.workers + (
            options.worker < options.orders % options.workers
        )

    def take(self) -> tuple[PlannedOrder, int, int] | None:
        """The next order, its due time, and the index of its first target; None: no more."""
        if self._plan is None:
            self._plan = plan_orders(
                seed=self.options.seed,
                orders=self.options.orders or ORDERS_MAX,
                per_second=self.options.rate,
                copies=self.options.copies,
                distinct_ids=self.options.distinct_ids,
                worker=self.options.worker,
                workers=self.options.workers,
            )
        for order in self._plan:
            if self.stopped:
                return None
            due_ns = self.began_ns + int((LEAD_SECONDS + order.offset_seconds) * 1e9)
            if time.monotonic_ns() - due_ns <= SHED_AFTER_SECONDS * 1e9:
                self.sent += 1
                return order, due_ns, next(self._turn)
            self.shed += 1
        return None
