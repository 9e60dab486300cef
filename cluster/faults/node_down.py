"""A node goes down with the replicas on it, and comes back: by commands that the user gives.

No API can cut a node's power; a cloud's command line can, or one of a local cluster. The node is
one with web replicas and without our own parts. Nobody tells the cluster: it notices that the
kubelet is silent (40 s by default) and sends nothing there any more. What proves it: the cluster
itself called the node not ready, and the wire has seen no connection begin from there since.

A machine that vanishes closes nothing, so its sessions may still be open, with their locks, when it
is back: Postgres's keepalives would end them after two hours. Here they are ended then.

Limits: whether the machine really lost its power is the command's affair. While it is away its pods
are not replaced within a run: the cluster gives them up after five minutes.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from cluster.faults.backend import DATABASE_ERRORS, server
from cluster.faults.context import FaultContext, Stages
from cluster.place import Replica
from results.errors import ClusterError, OnceproofError
from results.records import Evidence, Stage

_NOT_READY_SECONDS = 90.0
_READY_SECONDS = 180.0
_SETTLE_SECONDS = 240.0


@dataclass(slots=True)
class NodeDown:
    """One node down for a while."""

    context: FaultContext
    fault_id: str
    down_seconds: float  # after the cluster has noticed
    replica: str = field(default="all", init=False)
    point: str = field(default="blind", init=False)
    kind: str = field(default="node-down", init=False)
    node: str = field(default="", init=False)
    _victims: list[Replica] = field(default_factory=list, init=False)
    _before: dict[int, int] = field(default_factory=dict, init=False)  # connection -> backend
    _begun: float = field(default=0.0, init=False)

    @property
    def _stages(self) -> Stages:
        return Stages(self.context, self.fault_id, self.kind, self.point, self.replica)

    async def inject(self) -> None:
        """Take it down."""
        cluster = self.context.cluster(self.kind)
        node = cluster.node_to_lose()
        self._victims = cluster.on_node(node)
        self._before = await self._connections()
        names = [one.name for one in self._victims]
        self._stages.note(Stage.INTENT, {"node": node, "replicas": names})
        self.node = node
        self._begun = time.monotonic()
        await cluster.power(node, on=False)
        self._stages.note(Stage.INJECT, {"node": node, "connections": sorted(self._before)})

    async def evidence(self) -> Evidence:
        """Not ready for the cluster, and nothing new from there at the wire."""
        cluster = self.context.cluster(self.kind)
        facts: dict[str, Any] = {
            "node": self.node, "replicas": [one.name for one in self._victims],
        }  # fmt: skip
        missing: list[str] = []
        try:
            down = await cluster.node_becomes(
                self.node, ready=False, timeout_seconds=_NOT_READY_SECONDS
            )
            facts["not_ready_after_seconds"] = round(time.monotonic() - self._begun, 3)
            if not down:
                missing.append(f"not ready: the cluster called {self.node} ready all the time")
            await asyncio.sleep(self.down_seconds)
            now = await self._connections()
        except (OnceproofError, OSError, TimeoutError) as error:
            missing.append(f"down: {error}")
        else:
            silent = self._before.keys() & now.keys()
            facts |= {"connections_silent": len(silent),
                      "connections_ended": len(self._before) - len(silent)}  # fmt: skip
            if begun := sorted(now.keys() - self._before.keys()):
                missing.append(f"silent: connections {begun} began from there")
        evidence = Evidence(facts=facts, missing=tuple(missing))
        self._stages.note(Stage.EVIDENCE, evidence=evidence)
        return evidence

    async def heal(self) -> None:
        """Bring it back and end what it had left open; ClusterError when it does not come."""
        cluster = self.context.cluster(self.kind)
        await cluster.power(self.node, on=True)
        if not await cluster.node_becomes(self.node, ready=True, timeout_seconds=_READY_SECONDS):
            raise ClusterError(f"{self.node} was not ready {_READY_SECONDS:.0f} s after its start")
        given_up = await self._give_up()
        await cluster.settled(timeout_seconds=_SETTLE_SECONDS)
        down = round(time.monotonic() - self._begun, 3)
        self._stages.note(
            Stage.HEAL, {"node": self.node, "down_seconds": down, "sessions_ended": given_up}
        )

    async def miss(self, reason: str) -> None:
        """The command may have done its work and failed: bring it back all the same."""
        if self.node:
            await self.heal()
        self._stages.note(Stage.MISSED, {"reason": reason})

    async def _connections(self) -> dict[int, int]:
        """What the wire has of the victims now."""
        if self.context.wire is None:
            raise ClusterError("only the wire knows whose connections these are: run with it")
        names = {one.name for one in self._victims}
        state = await self.context.wire.state()
        return {
            one.connection: one.backend_pid for one in state.connections if one.replica in names
        }

    async def _give_up(self) -> int:
        """End the sessions of before that nobody has ended; how many."""
        now = await self._connections()
        left = [pid for number, pid in self._before.items() if now.get(number) == pid]
        if not left:
            return 0
        try:
            async with server(self.context.database) as postgres:
                return sum([await postgres.terminate(pid) for pid in left])
        except DATABASE_ERRORS as error:
            raise ClusterError(f"sessions of {self.node} could not be ended: {error}") from error
