"""The fulfillment provider misbehaves for a while, as the witness can: four kinds.

| kind | what a caller sees | what really happened |
|---|---|---|
| witness-reply-lost | its connection breaks | the shipment was made |
| witness-error | 500 | the shipment was made |
| witness-slow | an answer that takes long | the shipment was made |
| witness-down | 503 | nothing |

The first two are what no database transaction covers. The proof is that calls met it: a fault
that nobody met proved nothing.
"""

import asyncio
import time
from dataclasses import dataclass, field

from cluster.faults.context import FaultContext, Stages
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

MODES = {
    "witness-reply-lost": "reply-lost",
    "witness-error": "error-after-effect",
    "witness-slow": "slow",
    "witness-down": "down",
}
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class ProviderFault:
    """One stretch of misbehaviour."""

    context: FaultContext
    fault_id: str
    kind: str  # a key of MODES
    seconds: float
    replica: str = field(default="witness", init=False)
    point: str = field(default="blind", init=False)
    _before: int = field(default=0, init=False)
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Change the witness's mode."""
        if self.context.provider is None:
            raise ClusterError("no witness stands in for the provider here")
        self._before = await self.context.provider.met(MODES[self.kind])
        self._stages.note(Stage.INTENT)
        await self.context.provider.set_mode(MODES[self.kind])
        self._begun = time.monotonic()
        self._stages.note(Stage.INJECT)

    async def evidence(self) -> Evidence:
        """At least one call met it, within its time."""
        met, missing = 0, ""
        try:
            while not met and time.monotonic() < self._begun + self.seconds:
                await asyncio.sleep(_POLL_SECONDS)
                met = await self._met()
        except OnceproofError as error:
            missing = f"met: the witness could not be asked ({error})"
        if not met and not missing:
            missing = f"met: no call came within {self.seconds} s"
        evidence = Evidence(facts={"met": met}, missing=(missing,) if missing else ())
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Misbehave for the rest of the time, then be good; also when interrupted."""
        assert self.context.provider is not None  # inject() refuses without
        try:
            await asyncio.sleep(self._begun + self.seconds - time.monotonic())
            met = await self._met()
        finally:
            await self.context.provider.set_mode("normal")
        self._stages.note(Stage.HEAL, {"met": met})

    async def miss(self, reason: str) -> None:
        """Nothing is held."""
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _met(self) -> int:
        assert self.context.provider is not None
        return await self.context.provider.met(MODES[self.kind]) - self._before
