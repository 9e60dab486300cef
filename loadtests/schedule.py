"""What one sending process has still to do: its share of the plan, and the count of what it did.

A plain object without Locust in it: users take orders from it, each order exactly once. An order
that comes to its turn later than `SHED_AFTER_SECONDS` is shed and counted: sending it late would
hide that the generator could not keep its schedule. Shedding needs no user, so that a process
that was given none still comes to its end, with the count that says so. A run with faults goes on
beyond its orders until the last fault has struck: how long that takes depends on the machine.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.dialect import Dialect
from loadtests.shopify import RETRIES
from loadtests.traffic import (
    NO_MIX,
    NO_RUSH,
    ORDERS_MAX,
    WORKERS_MAX,
    Mix,
    PlannedOrder,
    Rush,
    plan_orders,
)

SHED_AFTER_SECONDS = 2.0
LEAD_SECONDS = 1.0  # the first order comes so long after the start: users and connections are up
COPIES_MAX = 50
EXTENSION_MAX = 5  # times the orders asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmOptions:
    """What the command line or the web form said; ValueError for what cannot be."""

    orders: int  # 0: until stopped
    rate: float
    copies: int
    distinct_ids: bool
    seed: int
    retries: int
    time_scale: float
    webhook: str  # the path of orders/paid
    create_webhook: str  # that of orders/create; "" for none
    cancel_webhook: str = ""  # that of orders/cancelled
    create_late: bool = False  # orders/create comes after orders/paid
    targets: tuple[tuple[str, str], ...]  # (replica name, base URL)
    secret: str = field(repr=False)
    worker: int = 0
    workers: int = 1
    mix: Mix = NO_MIX
    rush: Rush = NO_RUSH
    rotate_after: int = 0  # orders of this process after which the next secret signs; 0: never
    next_secret: str = field(default="", repr=False)
    dialect: Dialect = field(default_factory=lambda: Dialect.read("shopify", {}))
    extend_while: Path | None = None  # more orders, as long as this file is there

    def __post_init__(self) -> None:
        limits = (
            (0 <= self.orders <= ORDERS_MAX, f"--orders: expected 0 to {ORDERS_MAX}"),
            (self.rate > 0, "--rate: expected more than 0 orders per second"),
            (1 <= self.copies <= COPIES_MAX, f"--copies: expected 1 to {COPIES_MAX}"),
            (0 <= self.retries <= RETRIES, f"--attempts: expected 1 to {RETRIES + 1}"),
            (self.time_scale >= 0, "--time-scale: expected 0 or more"),
            (0 <= self.worker < WORKERS_MAX, f"at most {WORKERS_MAX} sending processes"),
            (self.webhook.startswith("/"), "--webhook: expected a path, as in /webhooks/paid"),
            (
                not self.create_webhook or self.create_webhook.startswith("/"),
                "--create-webhook: expected a path, or nothing",
            ),
            (
                not self.mix.cancelled or self.cancel_webhook.startswith("/"),
                "--cancel-webhook: expected a path, since --cancelled is given",
            ),
            (
                not self.rotate_after or bool(self.next_secret),
                "--rotate-after: no next secret is set",
            ),
            (bool(self.targets), "--targets or --host: expected the service's URL"),
            (
                all(url.startswith(("http://", "https://")) for _, url in self.targets),
                "--targets: expected name=http://host:port,name=...",
            ),
        )
        for holds, sentence in limits:
            if not holds:
                raise ValueError(sentence)


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
    _next: PlannedOrder | None = None
    _drawn: int = 0

    @property
    def planned(self) -> int:
        """How many orders this process was asked for; those taken so far if that is more."""
        return max(self._share, self.sent + self.shed)

    @property
    def exhausted(self) -> bool:
        """True when every order was taken or shed; an endless schedule never is."""
        return self._peek() is None

    def take(self) -> tuple[PlannedOrder, int, int] | None:
        """The next order, its due time, and the index of its first target; None: no more."""
        self.shed_late()
        order = self._peek()
        if order is None or self.stopped:
            return None
        self._next = None
        self.sent += 1
        return order, self._due_ns(order), next(self._turn)

    def give_back(self) -> None:
        """An order was taken but the run was stopped before its burst: it was not sent."""
        self.sent -= 1

    def shed_taken(self) -> None:
        """An order was taken, but could not be sent at its time."""
        self.sent -= 1
        self.shed += 1

    def shed_late(self) -> None:
        """Give up, and count, the orders that nobody took in time."""
        limit_ns = time.monotonic_ns() - int(SHED_AFTER_SECONDS * 1e9)
        while not self.stopped and (order := self._peek()) and self._due_ns(order) < limit_ns:
            self._next = None
            self.shed += 1

    def _due_ns(self, order: PlannedOrder) -> int:
        return self.began_ns + int((LEAD_SECONDS + order.offset_seconds) * 1e9)

    @property
    def _share(self) -> int:
        options = self.options
        whole, rest = divmod(options.orders, options.workers)
        return whole + (options.worker < rest)

    def _wanted(self) -> bool:
        """Whether one more order is to be drawn from the plan."""
        options = self.options
        if not options.orders or self._drawn < self._share:
            return True
        file = options.extend_while
        return file is not None and self._drawn < self._share * EXTENSION_MAX and file.exists()

    def _peek(self) -> PlannedOrder | None:
        if self._plan is None:
            self._plan = plan_orders(
                seed=self.options.seed,
                orders=min(self.options.orders * EXTENSION_MAX or ORDERS_MAX, ORDERS_MAX),
                per_second=self.options.rate,
                copies=self.options.copies,
                distinct_ids=self.options.distinct_ids,
                worker=self.options.worker,
                workers=self.options.workers,
                mix=self.options.mix,
                rush=self.options.rush,
            )
        if self._next is None and self._wanted():
            self._next = next(self._plan, None)
            self._drawn += 1
        return self._next
