"""The vocabulary of scenario files: plain frozen data, no behaviour.

A scenario says what traffic comes and what goes wrong meanwhile. It has no asserts: exactly-once
is the point of the tool, so every scenario has it. What makes a run *count* is in `needs`.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from loadtests.traffic import NO_MIX, NO_RUSH, Mix, Rush
from results.records import Thresholds

COPIES_MAX = 50
CommitPoint = Literal["commit-dropped", "commit-after-death", "reply-lost"]


def require(holds: bool, sentence: str) -> None:
    """ValueError with the sentence where it does not hold."""
    if not holds:
        raise ValueError(sentence)


def one_of(what: str, given: str, known: Sequence[str]) -> None:
    """ValueError with the nearest names for a word that is none of them."""
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.4) or known
    require(given in known, f"{what}: there is no {given!r}, did you mean {', '.join(near)}?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Copies of one webhook released together: with the same webhook id, or with distinct ones.

    Distinct ids are what Shopify sends when an app has two subscriptions for one topic.
    """

    copies: int = 2
    ids: Literal["same", "distinct"] = "distinct"

    def __post_init__(self) -> None:
        require(1 <= self.copies <= COPIES_MAX, f"Burst.copies: expected 1 to {COPIES_MAX}")
        one_of("Burst.ids", self.ids, ("same", "distinct"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Paid orders arriving as a Poisson process, each announced by a burst of deliveries."""

    orders: int = 300
    per_second: float = 60.0
    duplicates: Burst = field(default_factory=Burst)
    create: Literal["before", "after", "never"] = "before"  # orders/create, if the service takes it
    rush: Rush = NO_RUSH  # a faster begin
    mix: Mix = NO_MIX  # what comes beside the bursts
    rotate_after: int = 0  # orders after which Shopify signs with the next secret; 0: never
    retry_time_scale: float = 1 / 600  # Shopify's retries span 4 hours; here, 24 seconds
    users: int = 80  # the most bursts in flight

    def __post_init__(self) -> None:
        require(self.orders >= 1, "Traffic.orders: expected 1 or more")
        require(self.per_second > 0, "Traffic.per_second: expected more than 0")
        require(self.users >= 1, "Traffic.users: expected 1 or more")
        one_of("Traffic.create", self.create, ("before", "after", "never"))


@dataclass(frozen=True, slots=True)
class InTransaction:
    """The moment of a fault: a replica sits at this point of its own transaction."""

    point: CommitPoint

    def __post_init__(self) -> None:
        one_of("InTransaction", self.point, get_args(CommitPoint))


@dataclass(frozen=True, slots=True)
class EachStatement:
    """The moment before a delivery's first statement, its second, and so on, in turn.

    How many there are is found out as it goes: after the last one it begins again.
    """


@dataclass(frozen=True, slots=True)
class Blind:
    """No moment at all: a seeded time, as other chaos tools choose it. For comparison."""


@dataclass(frozen=True, slots=True)
class Polled:
    """The moment after Postgres was seen to hold an open transaction of a replica's.

    The best that can be done without the wire. For comparison.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """SIGKILL a replica at a moment, so many times; `role` "relay" strikes the one that ships."""

    at: InTransaction | EachStatement | Blind | Polled
    times: int = 5
    role: str = "web"

    kind = "crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Oom:
    """The kernel's OOM killer ends a replica at a moment: its memory has no room left."""

    at: InTransaction | Blind
    times: int = 2

    kind = "oom"


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
    """End all of a replica's database sessions inside a transaction, and let it go on."""

    times: int = 2

    kind = "db-disconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class DbCrash:
    """SIGKILL the whole database server, and start it again a moment later."""

    times: int = 1
    down_seconds: float = 0.5

    kind = "db-crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class DbLatency:
    """Delay every step towards the database for a while."""

    times: int = 1
    delay_ms: float = 50.0
    seconds: float = 3.0

    kind = "db-latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLoss:
    """A replica's machine dies inside a transaction, and Postgres does not hear of it at once."""

    times: int = 1
    dark_seconds: float = 3.0

    kind = "power-loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFault:
    """The provider ships and its answer is lost (or is a 500), is slow, or is down, for a while."""

    what: Literal["reply-lost", "error", "slow", "down"]
    times: int = 1
    seconds: float = 2.0

    @property
    def kind(self) -> str:
        """`witness-reply-lost` and so on."""
        return f"witness-{self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingRestart:
    """All web replicas end gracefully, one after the other, as in a rollout."""

    times: int = 1

    kind = "rolling-restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew:
    """A replica's wall clock is so many seconds ahead (negative: behind) for a while."""

    seconds: int = 3_600
    times: int = 1
    lasting_seconds: float = 5.0

    kind = "clock-skew"

    def __post_init__(self) -> None:
        # Seen from outside in whole seconds, and two of them are allowed.
        require(abs(self.seconds) >= 10, "ClockSkew.seconds: expected 10 or more, or -10 or less")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """A replica's pod is evicted through the API; a disruption budget may make it wait."""

    times: int = 2

    kind = "evict"


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostPod:
    """A replica's pod is deleted by force: the cluster forgets it while its process still runs."""

    times: int = 2

    kind = "ghost-pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A node takes no new pod, and the replicas on it are evicted."""

    times: int = 1

    kind = "drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The service is scaled to so many replicas for a while, and back."""

    to: int
    times: int = 1
    lasting_seconds: float = 5.0

    kind = "scale"

    def __post_init__(self) -> None:
        require(self.to >= 1, "Scale.to: expected 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """A HorizontalPodAutoscaler on real CPU scales the service up, and down again.

    Whether it does is the traffic's affair: give it a `Rush`. A run without both proves nothing.
    """

    most: int = 6  # replicas
    cpu_percent: int = 70  # of what a replica requests; above it more are asked for
    calm_seconds: int = 15  # so long fewer must have been enough before any is taken away
    times: int = 1

    kind = "autoscale"

    def __post_init__(self) -> None:
        require(self.most >= 2, "Autoscale.most: expected 2 or more")
        require(1 <= self.cpu_percent <= 1_000, "Autoscale.cpu_percent: expected 1 to 1000")
        require(0 <= self.calm_seconds <= 3_600, "Autoscale.calm_seconds: expected 0 to 3600")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Every web replica is replaced by a new one, as the cluster does it for a new version."""

    times: int = 1

    kind = "rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDown:
    """A node goes down with the replicas on it and comes back, by commands of the user's."""

    times: int = 1
    down_seconds: float = 5.0  # after the cluster has noticed

    kind = "node-down"


Fault = (
    Crash | Oom | Freeze | Graceful | DbDisconnect | DbCrash | DbLatency | PowerLoss | ProviderFault
    | RollingRestart | ClockSkew | Evict | GhostPod | Drain | Scale | Autoscale | Rollout | NodeDown
)  # fmt: skip
ONLY_IN_CLUSTERS = {  # kinds
    "evict", "ghost-pod", "drain", "scale", "autoscale", "rollout", "node-down",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run: so many replicas, this traffic, these faults, and what must have been seen."""

    title: str
    replicas: int = 3
    traffic: Traffic = field(default_factory=Traffic)
    faults: Sequence[Fault] = ()  # which of them comes when is drawn from the seed
    fault_every_seconds: float = 0.0  # from one fault's begin to the next; 0: one on another
    provider: Literal["honours", "ignores"] | None = None  # idempotency keys; None: as asked
    stretch_ms: float = 0.0  # the wire delays every flight: widens each race window
    settle_seconds: float = 30.0
    needs: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        require(self.replicas >= 1, "Scenario.replicas: expected 1 or more")
        for fault in self.faults:
            require(fault.times >= 1, f"{type(fault).__name__}.times: expected 1 or more")

    @property
    def only_in_clusters(self) -> bool:
        """Whether it asks for what processes of one machine cannot have."""
        return any(fault.kind in ONLY_IN_CLUSTERS for fault in self.faults)
