"""The shapes of a timeline: a step, its kind, and all steps of one order. No logic but offsets."""

import re
from enum import StrEnum

from msgspec import Struct

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}$", re.IGNORECASE)
SENDER, POSTGRES, WITNESS = "sender", "Postgres", "witness"


class Kind(StrEnum):
    """What a step is; the card draws each kind in its own way."""

    SEND = "send"
    REPLY = "reply"
    STATEMENT = "statement"
    WAIT = "wait"
    HOLD = "hold"
    CRASH = "crash"
    CALL = "call"
    EFFECT = "effect"


class Step(Struct, frozen=True, kw_only=True):
    """One thing that happened, between `at_ns` and `until_ns` (equal for an instant)."""

    at_ns: int
    until_ns: int
    lane: str
    kind: Kind
    text: str
    sql: str = ""
    answer: str = ""  # Postgres' command tags, an sqlstate, or "no answer"
    number: int = 0


class Timeline(Struct, frozen=True, kw_only=True):
    """All steps of one order, numbered from 1 by time, and the prose that says why it is wrong."""

    order_id: int
    code: str  # the anomaly it explains
    lanes: tuple[str, ...]
    steps: tuple[Step, ...]
    prose: tuple[str, ...] = ()
    omitted: int = 0  # steps beyond MAX_STEPS

    @property
    def origin_ns(self) -> int:
        """The time of the first step: offsets are counted from here."""
        return self.steps[0].at_ns if self.steps else 0

    def offset_ms(self, step: Step) -> float:
        """Milliseconds from the first step to this one."""
        return (step.at_ns - self.origin_ns) / 1e6


def short(identifier: str) -> str:
    """The first block of a UUID, enough to tell the ids of one order apart; else all of it."""
    return identifier[:8] if _UUID.match(identifier) else identifier
