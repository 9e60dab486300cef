"""An autoscaler has more replicas made under load, on real CPU, and fewer when it is calm again.

Nothing is asked of the Deployment here: a HorizontalPodAutoscaler is made, with as many replicas
as there are for its least, and what it does is watched until it has scaled up and back down, while
deliveries flow. Those that go are the cluster's choice, and must lose nothing. What proves it: the
CPU that the autoscaler itself has seen, more replicas ready than at first and then as many as at
first, and that each that is gone ended by itself with exit status 0.

Limits: whether it comes to that is up to the traffic and the machine. The autoscaler looks every
15 s, at an average that is as old: a scale-down begins a minute after the rush at the earliest.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.context import FaultContext, Stages
from cluster.place import Autoscaled, Replica
from results.errors import ClusterError
from results.records import Evidence, Stage

_UP_SECONDS = 180.0
_DOWN_SECONDS = 300.0
_SETTLE_SECONDS = 180.0
_DEATH_SECONDS = 90.0  # a pod's grace is in it
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Autoscale:
    """Between as many replicas as there are and `most`, for one time up and down."""

    context: FaultContext
    fault_id: str
    most: int
    cpu_percent: int
    calm_seconds: int
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="autoscale", init=False)
    _original: int = field(default=0, init=False)
    _begun: float = field(default=0.0, init=False)
    _last: Autoscaled | None = field(default=None, init=False)
    _peak: int = field(default=0, init=False)  # ready at one time
    _cpu: int = field(default=0, init=False)  # the most that it has seen, in percent
    _up_seconds: float | None = field(default=None, init=False)  # until more were ready
    _down_seconds: float | None = field(default=None, init=False)  # until as many as at first
    _steps: list[dict[str, Any]] = field(default_factory=list, init=False)
    _seen: dict[str, Replica] = field(default_factory=dict, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Make it, and watch what it does."""
        cluster = self.context.cluster(self.kind)
        self._stages.note(Stage.INTENT, {"most": self.most, "cpu_percent": self.cpu_percent})
        self._begun = time.monotonic()
        self._original = await cluster.autoscale(
            self.most, cpu_percent=self.cpu_percent, calm_seconds=self.calm_seconds
        )
        if await self._until(more=True, timeout_seconds=_UP_SECONDS):
            self._up_seconds = self._seconds()
            if await self._until(more=False, timeout_seconds=_DOWN_SECONDS):
                self._down_seconds = self._seconds()
        self._stages.note(Stage.INJECT, self._facts())

    async def evidence(self) -> Evidence:
        """It went up for the CPU that it saw, and down, and nobody was ended by force."""
        left = {one.identity for one in self._last.ready} if self._last is not None else set()
        gone = [one for identity, one in self._seen.items() if identity not in left]
        codes, missing = await self.context.exit_codes(gone, timeout_seconds=_DEATH_SECONDS)
        if self._up_seconds is None:
            missing.append(f"scaled up: {self._why()}")
        elif self._down_seconds is None:
            missing.append(f"scaled down: {self._why()}")
        elif not gone:
            missing.append("scaled down: nobody has gone")
        if self._up_seconds is not None and self._cpu <= self.cpu_percent:
            missing.append(f"by CPU: it has seen {self._cpu} % at most, of {self.cpu_percent} %")
        evidence = Evidence(facts={**self._facts(), "exit_codes": codes}, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """No autoscaler, and as many as there were; ClusterError when they do not come to be."""
        await self._back()
        self._stages.note(Stage.HEAL, {"replicas": self._original})

    async def miss(self, reason: str) -> None:
        """It may have begun: as many as there were, all the same."""
        if self._original:
            await self._back()
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _back(self) -> None:
        cluster = self.context.cluster(self.kind)
        await cluster.unautoscale()
        settled = await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        if len(settled) != self._original:
            raise ClusterError(f"{len(settled)} replicas where there were {self._original}")

    async def _until(self, *, more: bool, timeout_seconds: float) -> bool:
        """Wait until all that it wants are ready, and these are more (or not); False if late."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            look = await self._look()
            if look.settled and (look.wanted > self._original) == more:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _look(self) -> Autoscaled:
        look = await self.context.cluster(self.kind).autoscaled()
        before = self._last
        self._peak = max(self._peak, len(look.ready))
        self._cpu = max(self._cpu, look.cpu_percent or 0)
        self._seen |= {one.identity: one for one in look.ready}
        self._last = look
        if before is None or shown(before) != shown(look):
            self._steps.append({"seconds": self._seconds(), **shown(look)})
        return look

    def _facts(self) -> dict[str, Any]:
        return {
            "from": self._original, "peak": self._peak, "cpu_percent": self._cpu,
            "up_seconds": self._up_seconds, "down_seconds": self._down_seconds,
            "steps": self._steps,
        }  # fmt: skip

    def _why(self) -> str:
        if self._last is None:
            return "it was not seen"
        return (
            f"{self._last.wanted} replicas were wanted at last, {len(self._last.ready)} ready, at "
            f"{self._last.cpu_percent} % CPU of {self.cpu_percent} %. {self._last.words}".rstrip()
        )

    def _seconds(self) -> float:
        return round(time.monotonic() - self._begun, 1)


def shown(look: Autoscaled) -> dict[str, Any]:
    """What the journal keeps of one look."""
    return {"wanted": look.wanted, "ready": len(look.ready), "cpu_percent": look.cpu_percent}
