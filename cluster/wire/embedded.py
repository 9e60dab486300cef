"""The wire in the controller's own process, for whoever decides about every single step.

A run drives its wire over a control stream; an exploration takes ten thousand decisions a second
and cannot afford one. It is the same wire (`wire.server`), without the stream: parks are told by a
call, a hold is decided by a call.

A replica's steps are held only between `hold_steps` and `let_run`: what a service says to its
database while it has no delivery (start-up, health checks, a job queue) is not part of any.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from cluster.wire.connection import Connection
from cluster.wire.flight import Flight
from cluster.wire.rules import Action, Park, Rule
from cluster.wire.server import WireServer
from cluster.wire.trace import Trace
from cluster.wire.upstream import Upstream
from results.records import ConnectionTrace, StatementTrace

HOST = "127.0.0.1"
LEASE_SECONDS = 30.0
TIMES = 1_000_000_000
PLAIN_ISOLATION = re.compile(r"|read committed|(?!.*isolation).*", re.IGNORECASE | re.DOTALL)
HIGHER_ISOLATION = re.compile(
    r"ISOLATION\s+LEVEL\s+(?:REPEATABLE|SERIALIZABLE)|transaction_isolation|\bset_config\b",
    re.IGNORECASE,
)


class EmbeddedWire:
    """One wire, its ports, and what is open through each of them."""

    def __init__(
        self, upstream: Upstream, file: Path, *, on_park: Callable[[Park], None],
        on_statement: Callable[[StatementTrace], None], on_end: Callable[[ConnectionTrace], None],
    ) -> None:  # fmt: skip
        self._trace = Trace(file)
        self._trace.on_statement = self._heard
        self._on_statement = on_statement
        self._higher: set[tuple[str, int]] = set()
        self._trace.on_client_eof = on_end
        self._server = WireServer(upstream, self._trace, "", host=HOST, on_park=on_park)

    async def open_port(self, replica: str) -> int:
        """A port for this replica's connections: what belongs into its database URL."""
        return await self._server.open(replica)

    def hold_steps(self, replica: str) -> None:
        """From now on each step of this replica is held before Postgres sees it."""
        self._server.gates.arm(
            Rule(rule_id=replica, point="before", replicas=(replica,), times=TIMES,
                 lease_seconds=LEASE_SECONDS)
        )  # fmt: skip

    def let_run(self, replica: str) -> None:
        """Hold no more of its steps; one that is held stays held."""
        self._server.gates.disarm(replica)

    def hold_answer(self, replica: str, rule_id: str) -> None:
        """Withhold the answer to its next COMMIT, or to its next write outside a transaction."""
        self._server.gates.arm(
            Rule(rule_id=rule_id, point="reply", replicas=(replica,), lease_seconds=LEASE_SECONDS)
        )

    def disarm(self, rule_id: str) -> None:
        """Forget the rule of an answer that never came."""
        self._server.gates.disarm(rule_id)

    def decide(self, park: Park, action: Action) -> None:
        """Let a flight go, or never; what comes of it is seen in `backends` and `open`."""
        self._server.gates.decide(park.hold_id, action)

    def flight(self, park: Park) -> Flight | None:
        """The flight that is held; None when it is no longer."""
        for connection in self._connections(park.replica):
            if connection.number == park.connection:
                return connection.conversation.current
        return None

    def read_committed(self, park: Park) -> bool:
        """Whether nothing said that this session's transactions have another isolation level."""
        if (park.replica, park.connection) in self._higher:
            return False
        return not any(
            one.number == park.connection and not _plain(one.isolation)
            for one in self._connections(park.replica)
        )

    def isolation(self, replica: str) -> tuple[str, ...]:
        """What the start-up messages of its connections said that may be about isolation."""
        return tuple(one.isolation for one in self._connections(replica))

    def backends(self, replica: str) -> tuple[int, ...]:
        """The Postgres processes that work for this replica now, or have not answered it yet."""
        return tuple(
            one.conversation.backend_pid
            for one in self._connections(replica)
            if one.conversation.in_flight and not one.held
        )

    def busy(self, replica: str) -> bool:
        """Whether a transaction of this replica is open, or an answer under way."""
        return any(one.conversation.busy for one in self._connections(replica))

    def open(self, replica: str) -> tuple[int, ...]:
        """The Postgres processes of all of its connections, of those without a client too."""
        return tuple(one.conversation.backend_pid for one in self._connections(replica))

    def heard_of_end(self, replica: str) -> bool:
        """Whether the client's side of every connection of this replica has ended."""
        return all(one.eof_ns is not None for one in self._connections(replica))

    def flush(self) -> None:
        """Write what is traced so far."""
        self._trace.flush()

    def close(self) -> None:
        """Let everything pass, and close the file."""
        self._server.close()
        self._trace.close()

    def _heard(self, trace: StatementTrace) -> None:
        if any(map(_raises, trace.sql)):
            self._higher.add((trace.replica, trace.connection))
        self._on_statement(trace)

    def _connections(self, replica: str) -> "set[Connection]":
        return self._server.port(replica).connections


@lru_cache(maxsize=64)
def _plain(isolation: str) -> bool:
    return PLAIN_ISOLATION.fullmatch(isolation) is not None


@lru_cache(maxsize=1024)
def _raises(sql: str) -> bool:
    return HIGHER_ISOLATION.search(sql) is not None
