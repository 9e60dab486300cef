"""What every fault is given, and the shapes of the wire as faults need them.

`WireControl` repeats the part of the wire's client that faults use, so that a fault can be tried
without a wire and a test can play one. A fault never raises because a proof is missing: what it
could not show goes into `Evidence.missing`, and the run's verdict draws the conclusion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.journal import Journal
from cluster.place import Autoscaled, Place, Replica
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


class Administrator(Protocol):
    """What the administrator of a cluster can do, as far as faults use it."""

    async def evict(self, replica: Replica) -> int:
        """Evict it; how often a disruption budget refused before it was granted."""

    def disruption(self, replica: Replica) -> str:
        """Why the cluster says that its pod had to go; "" if it says nothing."""

    async def forget(self, replica: Replica) -> None:
        """Delete its object at once, without waiting for its process."""

    async def known(self, replica: Replica) -> bool:
        """Whether the cluster still has its object."""

    def node_to_lose(self) -> str:
        """A node with web replicas and without our own parts; ClusterError if there is none."""

    def on_node(self, node: str) -> list[Replica]:
        """The replicas of all roles that run there."""

    async def cordon(self, node: str) -> None:
        """Let no new pod onto it; in the journal before it happens."""

    async def uncordon(self, node: str) -> None:
        """Let pods onto it again; harmless when it was not cordoned by us."""

    async def cordoned(self, node: str) -> bool:
        """Whether the cluster lets no pod onto it."""

    async def power(self, node: str, *, on: bool) -> None:
        """Run the user's command that takes a node down, or brings it back."""

    async def node_becomes(self, node: str, *, ready: bool, timeout_seconds: float) -> bool:
        """Wait until the cluster calls it (not) ready; False at the deadline."""

    async def scale(self, count: int) -> int:
        """Ask for so many web replicas; how many were asked for before."""

    async def unscale(self) -> None:
        """Ask for as many as at first; harmless when nothing was scaled."""

    async def autoscale(self, most: int, *, cpu_percent: int, calm_seconds: int) -> int:
        """Have an autoscaler decide how many there are, on CPU; how many were asked for before."""

    async def autoscaled(self) -> Autoscaled:
        """What it has seen and asked for, and who is there."""

    async def unautoscale(self) -> None:
        """No autoscaler any more, and as many as at first; harmless when there was none."""

    async def roll_out(self) -> None:
        """Ask for a new pod in place of each web replica."""

    async def settled(self, *, timeout_seconds: float) -> list[Replica]:
        """The web replicas once they are those that were asked for; ClusterError if not in time."""

    async def starve(self, replica: Replica) -> None:
        """Use up the memory of its container until the kernel ends it."""


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
    administrator: Administrator | None = None  # None: not on Kubernetes
    ready_path: str = "/"  # of a web replica
    stretch_seconds: float = 0.0  # the wire's delay when no fault delays it

    async def replica(self, name: str) -> Replica:
        """The current incarnation of a name; ClusterError when there is none."""
        for replica in await self.place.replicas():
            if replica.name == name:
                return replica
        raise ClusterError(f"there is no replica {name!r}")

    def cluster(self, kind: str) -> Administrator:
        """The cluster's administrator; ClusterError where there is no cluster."""
        if self.administrator is None:
            raise ClusterError(f"{kind}: only on Kubernetes")
        return self.administrator

    async def exit_codes(
        self, replicas: Iterable[Replica], *, timeout_seconds: float
    ) -> tuple[dict[str, int | None], list[str]]:
        """How each of them ended, and what speaks against its having ended by itself."""
        codes: dict[str, int | None] = {}
        missing: list[str] = []
        for replica in replicas:
            try:
                death = await self.place.death(replica, timeout_seconds=timeout_seconds)
            except ClusterError as error:
                missing.append(f"ended: {error}")
                continue
            codes[replica.name] = death.exit_code
            if death.exit_code != 0:
                ended = f"signal {death.signal}" if death.signal else f"status {death.exit_code}"
                missing.append(f"exit status 0: {replica.name} ended with {ended}")
        return codes, missing


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
