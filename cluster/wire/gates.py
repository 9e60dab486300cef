"""Rules and holds: which flight stops where, for how long, and who lets it go.

A hold is a lease. It ends by the controller's word (`pass` or `drop`), by its lease, or by the
loss of the controller; in the last two cases it passes and is marked perturbed, unless its client
is dead by then: nobody is left to pass to, so it drops.
"""

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from cluster.wire.conversation import Conversation
from cluster.wire.flight import Flight, is_step
from cluster.wire.rules import Action, Park, Point, Rule
from results.records import HoldTrace

LEASE_MAX_SECONDS = 60.0
RULES_MAX = 1_000
SHOWN_MAX = 20  # the last statements of a parked flight, and ids of a connection, that are told


@dataclass(slots=True)
class Armed:
    """A rule and how much of it is left."""

    rule: Rule
    left: int
    pattern: re.Pattern[str] | None = None
    seen: Counter[int] = field(default_factory=Counter)  # by connection; a key's are counted as one

    def wants(
        self, point: Point, conversation: Conversation, flight: Flight, sql: list[str]
    ) -> bool:
        """Whether a flight is of the kind that this rule is for."""
        rule = self.rule
        if rule.point != point:
            return False
        if rule.replicas and conversation.replica not in rule.replicas:
            return False
        if self.pattern is not None and not any(map(self.pattern.search, sql)):
            return False
        if point == "reply":
            # Before the answer is there this can only be guessed; it is asked again after.
            commits = flight.may_commit if flight.replied_ns is None else flight.committed
            if flight.sqlstate is not None or (self.pattern is None and not commits):
                return False
        if rule.step is not None and rule.step != flight.step:
            return False
        return rule.key is None or rule.key in conversation.keys


@dataclass(slots=True, eq=False)
class Hold:
    """A held flight."""

    park: Park
    lease_seconds: float
    conversation: Conversation
    decided: asyncio.Future[tuple[Action, str]]
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class Gates:
    """All rules and holds of one wire."""

    def __init__(self, parked: Callable[[Park], None], trace: Callable[[HoldTrace], None]) -> None:
        self._armed: dict[str, Armed] = {}
        self._holds: dict[str, Hold] = {}
        self._numbers = itertools.count(1)
        self._parked = parked
        self._trace = trace

    @property
    def idle(self) -> bool:
        """True while no rule is armed."""
        return not self._armed

    def watches(self, point: Point) -> bool:
        """Whether some rule is for this point at all."""
        return any(armed.rule.point == point for armed in self._armed.values())

    def arm(self, rule: Rule) -> None:
        """Add a rule, or replace the one of its name."""
        if rule.rule_id not in self._armed and len(self._armed) >= RULES_MAX:
            raise ValueError(f"more than {RULES_MAX} rules")
        pattern = re.compile(rule.sql, re.IGNORECASE) if rule.sql else None
        self._armed[rule.rule_id] = Armed(rule, max(1, rule.times), pattern)

    def disarm(self, rule_id: str) -> None:
        """Forget a rule; what it holds stays held."""
        self._armed.pop(rule_id, None)

    def wanted(
        self, point: Point, conversation: Conversation, flight: Flight, sql: list[str]
    ) -> bool:
        """Whether some rule is for this flight at this point; uses nothing up."""
        for armed in self._armed.values():
            if armed.wants(point, conversation, flight, sql):
                return is_step(sql)
        return False

    def claim(
        self, point: Point, conversation: Conversation, flight: Flight, sql: list[str]
    ) -> Armed | None:
        """The rule that holds this flight now; counts the match for every rule that is for it."""
        if not is_step(sql):
            return None
        claimed: Armed | None = None
        for armed in list(self._armed.values()):
            if claimed is not None or not armed.wants(point, conversation, flight, sql):
                continue
            sequence = 0 if armed.rule.key is not None else conversation.number
            armed.seen[sequence] += 1
            if armed.seen[sequence] < armed.rule.occurrence:
                continue
            armed.left -= 1
            claimed = armed
            if not armed.left:
                self._armed.pop(armed.rule.rule_id, None)
        return claimed

    def park(
        self, armed: Armed, flight: Flight, conversation: Conversation, *, others_in_flight: int
    ) -> Hold:
        """Begin to hold a flight, and tell the controller."""
        rule = armed.rule
        park = Park(
            hold_id=f"hold-{next(self._numbers)}", rule_id=rule.rule_id,
            replica=conversation.replica, connection=conversation.number,
            backend_pid=conversation.backend_pid, point=rule.point,
            parked_ns=time.monotonic_ns(), sql=tuple(flight.sql[-SHOWN_MAX:]),
            keys=tuple(sorted(conversation.keys)), others_in_flight=others_in_flight,
        )  # fmt: skip
        flight.hold_id = park.hold_id
        lease_seconds = min(rule.lease_seconds, LEASE_MAX_SECONDS)
        decided: asyncio.Future[tuple[Action, str]] = asyncio.get_running_loop().create_future()
        hold = Hold(park, lease_seconds, conversation, decided)
        self._holds[park.hold_id] = hold
        self._parked(park)
        return hold

    async def decision(self, hold: Hold) -> Action:
        """Wait until somebody decides; the caller says `done` once it is carried out."""
        lease = asyncio.get_running_loop().call_later(hold.lease_seconds, _expire, hold.decided)
        try:
            action, why = await hold.decided
        except asyncio.CancelledError:  # the server's side ended: there is nothing left to hold
            self._ended(hold, "drop", perturbed=True)
            raise
        finally:
            lease.cancel()
        if why != "controller" and hold.conversation.eof_ns is not None:
            action, why = "drop", "client-eof"
        perturbed = why != "controller"
        self._ended(hold, why if perturbed else action, perturbed=perturbed)
        return action

    def _ended(self, hold: Hold, release: str, *, perturbed: bool) -> None:
        park = hold.park
        self._trace(
            HoldTrace(
                hold_id=park.hold_id, rule_id=park.rule_id, replica=park.replica,
                connection=park.connection, backend_pid=park.backend_pid, point=park.point,
                parked_ns=park.parked_ns, released_ns=time.monotonic_ns(), release=release,
                perturbed=perturbed,
            )
        )  # fmt: skip

    def go_on(self, hold: Hold) -> None:
        """The commit has happened: its hold goes on as one of the answer, under a lease anew."""
        forwarded = hold.finished
        hold.park = replace(hold.park, point="reply", parked_ns=time.monotonic_ns())
        hold.decided = asyncio.get_running_loop().create_future()
        hold.finished = asyncio.Event()
        forwarded.set()

    def done(self, hold: Hold) -> None:
        """What was decided has been carried out."""
        self._holds.pop(hold.park.hold_id, None)
        hold.finished.set()

    async def release(self, hold_id: str, action: Action) -> bool:
        """Decide a hold and wait until it is carried out; False when there is no such hold.

        `hold-reply` is carried out once the answer is held; False as well if nothing was committed.
        """
        hold = self._holds.get(hold_id)
        if hold is None or hold.decided.done():
            return False
        if action == "hold-reply" and hold.park.point != "before-commit":
            raise ValueError(f"a hold at {hold.park.point} cannot go on as one of the reply")
        hold.decided.set_result((action, "controller"))
        await hold.finished.wait()
        return action != "hold-reply" or hold.park.point == "reply"

    def decide(self, hold_id: str, action: Action) -> asyncio.Event | None:
        """Decide a hold and do not wait: the event says when it is carried out; None: no hold."""
        hold = self._holds.get(hold_id)
        if hold is None or hold.decided.done():
            return None
        hold.decided.set_result((action, "controller"))
        return hold.finished

    def controller_lost(self) -> None:
        """Disarm everything and let all holds pass."""
        self._armed.clear()
        for hold in list(self._holds.values()):
            if not hold.decided.done():
                hold.decided.set_result(("pass", "controller-lost"))


def _expire(decided: "asyncio.Future[tuple[Action, str]]") -> None:
    if not decided.done():
        decided.set_result(("pass", "lease"))
