"""What every fault is given, and the shapes of the wire as faults need them.

`WireControl` repeats the part of the wire's client that faults use, so that a fault can be tried
without a wire and a test can play one. A fault never raises because a proof is missing: what it
could not show goes into `Evidence.missing`, and the run's verdict draws the conclusion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.journal import Journal
from cluster.place import Place, Replica
from cluster.wire.rules import Action, ClientEnd, Park, WireState
from results.errors import ClusterError
from results.records import Evidence, Stage


class WireControl(Protocol):
    """The wire's client, as far as faults use it."""

    async def release(self, hold_id: str, action: Action) -> bool:
        """End a hold; returns when that is complete. False: it had ended by itself.

        `hold-reply` goes on with it as a hold of the answer. False: there is no such answer.
        """

    async def state(self) -> WireState:
        """The open connections now."""

    async def open_port(self, replica: str) -> int:
        """The port of a replica's connections; also of one that is only a probe of ours."""

    async def delay(self, replica: str, seconds: float) -> None:
        """Delay each step of a replica (`*`: all)."""

    async def silence(self, replica: str, silent: bool) -> None:
        """Keep the ends of a replica's connections from Postgres, or tell them."""

    async def wait_end(
        self, replica: str, connection: int, *, timeout_seconds: float
    ) -> ClientEnd | None:
        """How the client's side of a connection ended; None at the deadline."""


class Server(Protocol):
    """The database server, as far as faults use it."""

    @property
    def alive(self) -> bool:
        """False once it has ended."""

    async def crash(self) -> None:
        """SIGKILL all of it; ClusterError when it is not ours."""

    async def restart(self) -> None:
        """Start it again on its data; returns when it answers."""


class Provider(Protocol):
    """The witness, as far as faults use it."""

    async def set_mode(self, mode: str, **settings: Any) -> None:
        """How it answers from now on."""

    async def met(self, mode: str) -> int:
        """How many calls met a mode so far."""


class Environments(Protocol):
    """Who starts replicas, as far as faults use it."""

    def overlay(self, name: str, environment: Mapping[str, str]) -> None:
        """Variables over a replica's own, from its next start on; {}: no more."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """Where faults happen and how they are written down."""

    place: Place
    journal: Journal
    database: str  # DSN of an administrator, directly, not through the wire
    wire: WireControl | None = None
    server: Server | None = None
    provider: Provider | None = None
    environments: Environments | None = None
    ready_path: str = "/"  # of a web replica
    stretch_seconds: float = 0.0  # the wire's delay when no fault delays it

    async def replica(self, name: str) -> Replica:
        """The current incarnation of a name; ClusterError when there is none."""
        for replica in await self.place.replicas():
            if replica.name == name:
                return replica
        raise ClusterError(f"there is no replica {name!r}")


class Fault(Protocol):
    """One fault that happens once. `perform` calls the three in order."""

    @property
    def fault_id(self) -> str:
        """Its name in the journal."""

    @property
    def kind(self) -> str:
        """crash, freeze, graceful or db-disconnect."""

    @property
    def point(self) -> str:
        """The moment at which it strikes."""

    async def inject(self) -> None:
        """Do it; ClusterError when the victim is gone already."""

    async def evidence(self) -> Evidence:
        """What proves it; never raises for a missing proof."""

    async def heal(self) -> None:
        """Bring the victim back."""

    async def miss(self, reason: str) -> None:
        """It could not be injected: let go of whatever is held, and say why."""


@dataclass(slots=True)
class Stages:
    """Writes the stages of one fault into the journal."""

    context: FaultContext
    fault_id: str
    kind: str
    point: str
    replica: str

    def note(
        self, stage: Stage, detail: dict[str, Any] | None = None, evidence: Evidence | None = None
    ) -> int:
        """Journal a stage; returns its time."""
        record = self.context.journal.fault(
            fault_id=self.fault_id,
            kind=self.kind,
            point=self.point,
            stage=stage,
            replica=self.replica,
            detail=detail,
            evidence=evidence,
        )
        return record.at_ns


def park_detail(park: Park) -> dict[str, Any]:
    """What the journal keeps of a park."""
    return {
        "hold_id": park.hold_id,
        "connection": park.connection,
        "backend_pid": park.backend_pid,
        "held_point": park.point,
        "parked_ns": park.parked_ns,
        "sql": list(park.sql),
        "keys": list(park.keys),
        "others_in_flight": park.others_in_flight,
    }
