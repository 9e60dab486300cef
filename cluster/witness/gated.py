"""A witness in the controller's own process that asks before it ships.

Each replica gets a port of its own, so whose call it is needs no guessing. A call waits at its
gate until the controller lets it pass, which ships and answers; or drops it, which does neither.
A call of a caller that has died meanwhile still ships when it passes: a provider does not know.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from cluster.witness.app import Witness
from cluster.witness.store import Store

HOST = "127.0.0.1"
HOLD_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class HeldCall:
    """One call at its gate."""

    replica: str
    passes: "asyncio.Future[bool]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def decide(self, *, passes: bool) -> None:
        """Let it ship, or never."""
        if not self.passes.done():
            self.passes.set_result(passes)


class GatedWitness(Witness):
    """The same provider, with a gate for those replicas that are `held`."""

    def __init__(self, store: Store, token: str, on_call: Callable[[HeldCall], None]) -> None:
        super().__init__(store, token)
        self.held: set[str] = set()
        self.calls = 0  # so far
        self._on_call = on_call
        self._replicas: dict[int, str] = {}
        self._runner: web.AppRunner | None = None

    async def open_port(self, replica: str) -> int:
        """A port for the calls of this replica."""
        if self._runner is None:
            self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
            await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port = int(self._runner.addresses[-1][1])
        self._replicas[port] = replica
        return port

    async def ship(self, request: web.Request) -> web.StreamResponse:
        """Wait at the gate if its replica is held, then ship and answer."""
        assert request.transport is not None
        port = request.transport.get_extra_info("sockname")[1]
        replica = self._replicas.get(port, "")
        self.calls += 1
        if replica in self.held:
            await request.read()  # so that its caller may die without its call
            call = HeldCall(replica)
            self._on_call(call)
            done, _ = await asyncio.wait([call.passes], timeout=HOLD_SECONDS)
            if not done or not call.passes.result():
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
        return await super().ship(request)

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
