"""Rules and holds: which flight stops where, for how long, and who lets it go.

A hold is a lease. It ends by the controller's word (`pass` or `drop`), by its lease, or by the
loss of the controller; in the last two cases it passes and is marked perturbed, unless its client
is dead by then: nobody is left to pass to, so it drops.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.wire.flight import Flight
from cluster.wire.rules import Action, Park, Point, Rule
from results.records import HoldTrace

LEASE_MAX_SECONDS = 60.0


@dataclass(slots=True)
class Armed:
    """A rule and how much of it is left."""

    rule: Rule
    left: int
    seen: int = 0
    pattern: re.Pattern[str] | None = None

    def wants(self, replica: str, flight: Flight, keys: frozenset[str]) -> bool:
        """Whether a flight is of the kind that this rule is for."""
        rule = self.rule
        if self.left <= 0 or (rule.replicas and replica not in rule.replicas):
            return False
        if self.pattern is not None and not any(map(self.pattern.search, flight.sql)):
            return False
        return rule.key is None or rule.key in keys


@dataclass(slots=True)
class Hold:
    """A held flight."""

    park: Park
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

    def arm(self, rule: Rule) -> None:
        """Add a rule, or replace the one of its name."""
        pattern = re.compile(rule.sql, re.IGNORECASE) if rule.sql else None
        self._armed[rule.rule_id] = Armed(rule, rule.times, pattern=pattern)

    def disarm(self, rule_id: str) -> None:
        """Forget a rule; what it holds stays held."""
        self._armed.pop(rule_id, None)

    def candidate(
        self, point: Point, replica: str, flight: Flight, keys: frozenset[str]
    ) -> Armed | None:
        """The rule that would hold this flight at this point, without using it up."""
        if not flight.is_step or (point == "before-commit" and not flight.is_commit):
            return None
        for armed in self._armed.values():
            if armed.rule.point != point or not armed.wants(replica, flight, keys):
                continue
            if point == "reply" and armed.pattern is None and not flight.is_commit:
                continue
            return armed
        return None

    def claim(self, armed: Armed) -> bool:
        """Use a rule up by one match; False while its occurrence has not come."""
        if armed.left <= 0 or self._armed.get(armed.rule.rule_id) is not armed:
            return False
        armed.seen += 1
        if armed.seen < armed.rule.occurrence:
            return False
        armed.left -= 1
        if not armed.left:
            self._armed.pop(armed.rule.rule_id, None)
        return True

    async def hold(
        self,
        armed: Armed,
        flight: Flight,
        *,
        replica: str,
        connection: int,
        backend_pid: int,
        keys: frozenset[str],
        others_in_flight: int,
        client_gone: Callable[[], bool],
    ) -> tuple[Action, Hold]:
        """Park a flight until somebody decides; the caller says `done` once it is carried out."""
        rule = armed.rule
        park = Park(
            hold_id=f"hold-{next(self._numbers)}", rule_id=rule.rule_id, replica=replica,
            connection=connection, backend_pid=backend_pid, point=rule.point,
            parked_ns=time.monotonic_ns(), sql=tuple(flight.sql), keys=tuple(sorted(keys)),
            others_in_flight=others_in_flight,
        )  # fmt: skip
        flight.hold_id = park.hold_id
        hold = Hold(park, asyncio.get_running_loop().create_future())
        self._holds[park.hold_id] = hold
        self._parked(park)
        lease_seconds = min(rule.lease_seconds, LEASE_MAX_SECONDS)
        try:
            async with asyncio.timeout(lease_seconds):
                action, why = await asyncio.shield(hold.decided)
        except TimeoutError:
            action, why = "pass", "lease"
        except asyncio.CancelledError:
            self.done(hold)
            raise
        if why != "controller" and client_gone():
            action = "drop"
        hold.decided.cancel()
        self._trace(
            HoldTrace(
                hold_id=park.hold_id, rule_id=rule.rule_id, replica=replica,
                connection=connection, backend_pid=backend_pid, point=rule.point,
                parked_ns=park.parked_ns, released_ns=time.monotonic_ns(),
                release=action if why == "controller" else why, perturbed=why != "controller",
            )
        )  # fmt: skip
        return action, hold

    def done(self, hold: Hold) -> None:
        """What was decided has been carried out."""
        self._holds.pop(hold.park.hold_id, None)
        hold.finished.set()

    async def release(self, hold_id: str, action: Action) -> bool:
        """Decide a hold and wait until it is carried out; False when there is no such hold."""
        hold = self._holds.get(hold_id)
        if hold is None or hold.decided.done():
            return False
        hold.decided.set_result((action, "controller"))
        await hold.finished.wait()
        return True

    def controller_lost(self) -> None:
        """Disarm everything and let all holds pass."""
        self._armed.clear()
        for hold in list(self._holds.values()):
            if not hold.decided.done():
                hold.decided.set_result(("pass", "controller-lost"))
