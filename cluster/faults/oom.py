"""The kernel's OOM killer ends a replica, at a named point of its own transaction or blindly.

A pod over its memory limit ends like this: SIGKILL from the kernel, in the middle of whatever asked
for memory. Here the replica is moved into a memory cgroup without any room (`cluster.memory_group`)
and somebody knocks at its port: accepting the connection is the allocation that kills it, within
some ten milliseconds. Under traffic it is often killed by a delivery of its own.

In a cluster the memory of the replica's container is used up from within, and its kubelet must
call the end `OOMKilled`.

It must show what a `Crash` at the same point must, and that it was no other death: the kernel
counted an OOM kill in that cgroup, in which nobody else was.

Limits: a local replica that accepts nobody while its transaction is held (one blocking worker)
allocates nothing and lives on, which is no evidence and the end of it all the same. A blind
one does not say what it hit: the moment is the replica's own.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cluster.faults.crash import Crash
from cluster.memory_group import MemoryGroup
from cluster.place import Death, Replica
from results.errors import ClusterError

_KNOCK_SECONDS = 0.2
_KNOCK_EVERY_SECONDS = 0.01


@dataclass(slots=True)
class Oom(Crash):
    """One OOM kill of one replica; aimed when it is given a park, which it releases."""

    kind: str = field(default="oom", init=False)
    _group: MemoryGroup | None = field(default=None, init=False)

    async def _strike(self, victim: Replica) -> None:
        """Leave it no memory."""
        if self.context.administrator is not None:
            await self.context.administrator.starve(victim)
            return
        if victim.pid is None or not victim.url:
            raise ClusterError(f"{victim.name} is no process of this machine that can be reached")
        self._group = MemoryGroup.create(self.context.journal, self.fault_id)
        try:
            self._group.take(victim.pid)
        except ClusterError:
            self._group.remove()
            raise

    async def _look_at_wire(self) -> None:
        """What is in flight now says nothing of the moment at which it will die."""

    async def _death(self) -> Death | None:
        """Knock until it dies of it, then ask the kernel; nobody is left without memory."""
        assert self.victim is not None  # perform() asks for evidence only after inject()
        if self._group is None:
            return await Crash._death(self)
        knocking = asyncio.create_task(_knock(self.victim.url))
        try:
            death = await Crash._death(self)  # super() does not know a class with slots
            self._count(self._group)
        finally:
            knocking.cancel()
            if not self._group.remove():
                self._missing.append(f"healed: {self._group.folder} could not be removed")
        return death

    def _count(self, group: MemoryGroup) -> None:
        try:
            kills = group.oom_kills()
        except OSError as error:
            self._missing.append(f"oom kill: the kernel's count could not be read ({error})")
            return
        self._facts["oom_kills"] = kills
        if not kills:
            self._missing.append("oom kill: the kernel counted none in its memory cgroup")


async def _knock(url: str) -> None:
    """Connect and go, again and again, until it is cancelled."""
    where = urlsplit(url)
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_KNOCK_SECONDS):
                _, writer = await asyncio.open_connection(where.hostname, where.port)
                writer.close()
        await asyncio.sleep(_KNOCK_EVERY_SECONDS)
