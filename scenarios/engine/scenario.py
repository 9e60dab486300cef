"""The vocabulary of scenario files: plain frozen data, no behaviour.

A scenario says what traffic comes and what goes wrong meanwhile. It has no asserts: exactly-once
is the point of the tool, so every scenario has it. What makes a run *count* is in `needs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from loadtests.traffic import NO_MIX, Mix
from results.records import Thresholds

CommitPoint = Literal["commit-dropped", "commit-after-death", "reply-lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Copies of one webhook released together: with the same webhook id, or with distinct ones.

    Distinct ids are what Shopify sends when an app has two subscriptions for one topic.
    """

    copies: int = 2
    ids: Literal["same", "distinct"] = "distinct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Paid orders arriving as a Poisson process, each announced by a burst of deliveries."""

    orders: int = 300
    per_second: float = 60.0
    duplicates: Burst = field(default_factory=Burst)
    create: Literal["before", "after", "never"] = "before"  # orders/create, if the service takes it
    mix: Mix = NO_MIX  # what comes beside the bursts
    rotate_after: int = 0  # orders after which Shopify signs with the next secret; 0: never
    retry_time_scale: float = 1 / 600  # Shopify's retries span 4 hours; here, 24 seconds
    users: int = 80  # the most bursts in flight


@dataclass(frozen=True, slots=True)
class InTransaction:
    """The moment of a fault: a replica sits at this point of its own transaction."""

    point: CommitPoint


@dataclass(frozen=True, slots=True)
class Blind:
    """No moment at all: a seeded time, as other chaos tools choose it. For comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """SIGKILL a replica at a moment, so many times."""

    at: InTransaction | Blind
    times: int = 5

    kind = "crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """SIGSTOP a replica inside its transaction, and wake it again after a while."""

    times: int = 2
    frozen_seconds: float = 6.0  # longer than the sender waits: its retry meets the sleeper

    kind = "freeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graceful:
    """SIGTERM a replica as a rollout does; no delivery may be lost by it."""

    times: int = 2

    kind = "graceful"


@dataclass(frozen=True, slots=True, kw_only=True)
class DbDisconnect:
    """End all of a replica's database sessions (pg_terminate_backend) and let it go on."""

    times: int = 2

    kind = "db-disconnect"


Fault = Crash | Freeze | Graceful | DbDisconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run: so many replicas, this traffic, these faults, and what must have been seen."""

    title: str
    replicas: int = 3
    traffic: Traffic = field(default_factory=Traffic)
    faults: Sequence[Fault] = ()
    stretch_ms: float = 0.0  # the wire delays every flight: widens each race window
    settle_seconds: float = 30.0
    needs: Thresholds = field(default_factory=Thresholds)
