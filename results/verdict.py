"""The verdict: three-valued, with the coverage that backs it and the doubts that weaken it.

`invalid` needs one anomaly. `valid` needs no anomaly *and* no doubt: a run that proved nothing is
`unknown`, and every doubt names the knob to turn. A code that could not be evaluated is listed as
not judged, never passed over as clean. A service level objective never moves the verdict, only the
exit status of a valid one. `verdict.json` holds exactly this struct.
"""

from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct, field

from results.latency import Latency
from results.records import FORMAT_VERSION
from results.slo import SloResult

ANOMALIES_MAX = 1_000  # listed in full; `totals` counts all of them
SLO_MISSED = 3


class Validity(StrEnum):
    """Whether every paid order was fulfilled exactly once."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"

    @property
    def exit_status(self) -> int:
        """What the command exits with, service level objectives aside."""
        return {Validity.VALID: 0, Validity.INVALID: 1, Validity.UNKNOWN: 2}[self]


class Anomaly(Struct, frozen=True, kw_only=True):
    """One violation. `order_id` 0 means that it concerns the stock, not one order.

    `first_ns` is the monotonic time at which it first showed. `implied_by` names the code of the
    same order that explains this one ("" for a primary one).
    """

    code: str
    name: str
    shop: str
    order_id: int
    message: str
    fix: str
    first_ns: int
    implied_by: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """Something worth knowing that breaks no promise: `name` in kebab-case, how often, a line."""

    name: str
    count: int
    message: str


class NotJudged(Struct, frozen=True, kw_only=True):
    """A code that this run cannot speak of, and why."""

    code: str
    name: str
    reason: str


class Doubt(Struct, frozen=True, kw_only=True):
    """Why a run without anomalies is still not valid, and which knob to turn."""

    cause: str
    message: str
    knob: str


class FaultCount(Struct, frozen=True, kw_only=True):
    """How many faults of one kind and point got how far; `timeouts` never found their moment."""

    asked: int = 0
    parked: int = 0
    fired: int = 0
    evidenced: int = 0
    timeouts: int = 0


class Coverage(Struct, frozen=True, kw_only=True):
    """What the run really exercised. Times in ms; None where nothing was measured.

    `exposures` are the proven chances to go wrong: overlapping groups plus evidenced crashes.
    `bound` is the 95 % upper bound 3/n on the rate of anomalies per exposure, if none was seen.
    """

    orders: int = 0
    deliveries: int = 0
    retries: int = 0
    duplicate_groups: int = 0
    sender_overlapping_groups: int = 0
    overlapping_groups: int = 0
    faults: dict[str, FaultCount] = field(default_factory=dict)  # by "kind:point"
    hold_p50_ms: float | None = None
    hold_p99_ms: float | None = None
    holds: int = 0
    others_in_flight: int = 0  # deliveries beside the aimed one, on victims when they were hit
    blind_evidenced: int = 0
    blind_in_transaction: int = 0
    lost_acknowledgements: int = 0
    snapshots: int = 0
    lateness_p50_ms: float | None = None
    lateness_p99_ms: float | None = None
    planned_orders: int = 0
    shed_orders: int = 0
    unresolved_orders: int = 0
    effects: int = 0
    shipped_p50_ms: float | None = None  # from an order's first payment to its first shipment
    shipped_p99_ms: float | None = None
    shipped_max_ms: float | None = None
    exposures: int = 0
    bound: float | None = None

    @property
    def blind_share(self) -> float | None:
        """The share of blind kills that happened to land inside a transaction."""
        return self.blind_in_transaction / self.blind_evidenced if self.blind_evidenced else None


class Verdict(Struct, frozen=True, kw_only=True):
    """The judgement of one run, complete with what it rests on."""

    format_version: int = FORMAT_VERSION
    run_id: str
    scenario: str
    title: str
    strategy: str
    provider: str
    seed: int
    validity: Validity
    sentence: str  # one line for people
    anomalies: tuple[Anomaly, ...] = ()
    totals: dict[str, int] = field(default_factory=dict)  # code -> how many, all counted
    findings: tuple[Finding, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    latency: Latency = field(default_factory=Latency)
    slos: tuple[SloResult, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 valid, 1 invalid, 2 unknown, 3 valid but an SLO was missed."""
        if self.validity is Validity.VALID and self.slos_missed:
            return SLO_MISSED
        return self.validity.exit_status

    @property
    def slos_missed(self) -> tuple[SloResult, ...]:
        """The service level objectives that were not met."""
        return tuple(result for result in self.slos if not result.met)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the anomalies found: A1 before A10."""
        return tuple(sorted(self.totals, key=lambda code: int(code[1:])))

    def by_code(self) -> dict[str, list[Anomaly]]:
        """The listed anomalies of each code."""
        found: dict[str, list[Anomaly]] = {code: [] for code in self.codes}
        for anomaly in self.anomalies:
            found[anomaly.code].append(anomaly)
        return found

    def to_json(self) -> bytes:
        """As verdict.json has it."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "Verdict":
        """Read it back; msgspec.DecodeError when it is not one."""
        return msgspec.json.decode(content, type=cls)

    @classmethod
    def read(cls, path: Path) -> "Verdict":
        """Read a verdict.json."""
        return cls.from_json(path.read_bytes())


def decide(anomalies: int, doubts: int) -> Validity:
    """Any anomaly is invalid; without one, any doubt is unknown; only then valid."""
    if anomalies:
        return Validity.INVALID
    return Validity.UNKNOWN if doubts else Validity.VALID
