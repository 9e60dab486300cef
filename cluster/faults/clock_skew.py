"""A replica's wall clock is wrong for a while: ahead or behind, while its timers keep their pace.

It finds what trusts the replica's own `now`: a lease or an expiry that is computed in the
application and compared with another clock, a row scheduled "not before", a token's validity, a
signature's age, the newest of two writes by their timestamps. It finds nothing where time is the
database's (`now()` in SQL), as in our own service: there it is a rollout of one replica, twice.

The replica is ended gracefully and starts again with the clock skewed (`cluster.skewed_clock`), and
once more without. What proves it comes from outside: the `Date` header of its answers, at the
beginning and at the end. A service that sends none proves nothing.

Limits: the clock is wrong from a start on, it does not jump under a running process; replicas that
we start ourselves. What else the library does to a process is told in the evidence.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from cluster.skewed_clock import SkewedClock, remove_shared_memory
from results.errors import ClusterError
from results.records import Evidence, Stage

_TOLERANCE_SECONDS = 2.0  # the header has whole seconds, and servers remember it for one
_PROOF_SECONDS = 5.0
_POLL_SECONDS = 0.05
_RECOVER_SECONDS = 30.0


@dataclass(slots=True)
class ClockSkew:
    """One wrong clock of one replica, for so long."""

    context: FaultContext
    fault_id: str
    replica: str
    seconds: int  # ahead; negative: behind
    lasting_seconds: float
    point: str = field(default="blind", init=False)
    kind: str = field(default="clock-skew", init=False)
    skewed: Replica | None = field(default=None, init=False)
    recovered: Replica | None = field(default=None, init=False)
    _clock: SkewedClock | None = field(default=None, init=False)
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Restart it with the wrong clock."""
        environments = self.context.environments
        if environments is None:
            raise ClusterError("a clock can be skewed only where we start the replicas")
        self._clock = await asyncio.to_thread(SkewedClock.find)
        victim = await self.context.replica(self.replica)
        self._stages.note(Stage.INTENT, {"identity": victim.identity, "seconds": self.seconds})
        environments.overlay(self.replica, self._clock.environment(self.seconds))
        await self.context.place.stop(victim)
        self.skewed = await self.context.place.recovered(victim, timeout_seconds=_RECOVER_SECONDS)
        self._begun = time.monotonic()
        # Only the names: what is open stays open, and nothing is left however it ends.
        _forget(self.skewed)
        self._stages.note(Stage.INJECT, {"identity": self.skewed.identity})

    async def evidence(self) -> Evidence:
        """Its answers carry the wrong time, now and when its time is over."""
        assert self.skewed is not None  # perform() asks for evidence only after inject()
        assert self._clock is not None
        facts: dict[str, Any] = {"identity": self.skewed.identity, "asked_seconds": self.seconds}
        facts |= {"library": self._clock.library, "library_flaw": self._clock.flaw}
        missing: list[str] = []
        for when in ("begin", "end"):
            if when == "end":
                await asyncio.sleep(self._begun + self.lasting_seconds - time.monotonic())
            skew_seconds = await self._date_skew(self.skewed)
            facts[f"skew_at_{when}_seconds"] = skew_seconds
            if skew_seconds is None:
                missing.append(f"date: no answer with a Date header at the {when}")
            elif abs(skew_seconds - self.seconds) > _TOLERANCE_SECONDS:
                missing.append(f"date: {skew_seconds:+.1f} s off at the {when}")
        now = await self.context.replica(self.replica)
        if now.identity != self.skewed.identity:
            missing.append("stayed: it ended before its time was over")
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Restart it with the right clock; ClusterError when it is wrong still."""
        skew_seconds = await self._restore()
        assert self.recovered is not None
        self._stages.note(
            Stage.HEAL, {"identity": self.recovered.identity, "skew_seconds": skew_seconds}
        )

    async def miss(self, reason: str) -> None:
        """It may have begun: restart it with the right clock all the same."""
        if self.context.environments is not None and self._clock is not None:
            await self._restore()
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _restore(self) -> float | None:
        """Without the overlay from its next start on, which comes at once."""
        assert self.context.environments is not None
        self.context.environments.overlay(self.replica, {})
        current = await self.context.replica(self.replica)
        with contextlib.suppress(ClusterError):  # it has ended by itself: its successor comes
            await self.context.place.stop(current)
        _forget(current)
        self.recovered = await self.context.place.recovered(
            current, timeout_seconds=_RECOVER_SECONDS
        )
        skew_seconds = await self._date_skew(self.recovered)
        if skew_seconds is not None and abs(skew_seconds) > _TOLERANCE_SECONDS:
            raise ClusterError(f"the clock of {self.replica} is still {skew_seconds:+.0f} s off")
        return skew_seconds

    async def _date_skew(self, replica: Replica) -> float | None:
        """How far the Date header of its answer is off our clock; None without one in time."""
        deadline = time.monotonic() + _PROOF_SECONDS
        limit = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=limit) as session:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    async with session.get(replica.url + self.context.ready_path) as answer:
                        return _seconds_off(answer.headers.get("Date"))
                await asyncio.sleep(_POLL_SECONDS)
        return None


def _forget(replica: Replica) -> None:
    """Remove what the library keeps of a process under a name."""
    if replica.pid is not None:
        remove_shared_memory(replica.pid)


def _seconds_off(date: str | None) -> float | None:
    """A Date header against our clock; None where there is none that can be read."""
    with contextlib.suppress(TypeError, ValueError):
        return round(parsedate_to_datetime(date).timestamp() - time.time(), 1) if date else None
    return None
