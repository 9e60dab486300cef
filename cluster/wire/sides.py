"""The two sockets of a connection, and their ends: cut, closed, or half-closed.

A client that stops sending may still listen, and a dead one looks the same: its end is handed on
as it came, and Postgres does with it what it would do without a wire.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from cluster.wire.tap import Streams

SETTLE_SECONDS = 5.0
ANSWERS_SECONDS = 90.0  # as long as a hold may last
ANSWERS_TRIES = 9_000
BEHIND_BYTES = 1 << 16  # so much unwritten, and a side counts as one that does not read


class Sides:
    """A client's socket and a server's."""

    def __init__(self, client: Streams, server: Streams) -> None:
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.cut: set[str] = set()
        self._paused: set[str] = set()

    def abort(self, side: str) -> None:
        """End a side ("client", "server") or both at once, without a goodbye."""
        for name, writer in (("client", self.to_client), ("server", self.to_server)):
            if side in (name, "both"):
                with contextlib.suppress(RuntimeError):  # uvloop's word for: closed already
                    writer.transport.abort()

    def behind(self, side: str) -> bool:
        """Whether a side does not read what it is told; one that is gone is not waited for."""
        transport = (self.to_client if side == "client" else self.to_server).transport
        return not transport.is_closing() and transport.get_write_buffer_size() > BEHIND_BYTES

    def pause(self, side: str) -> None:
        """Read no more of a side for now: what it has said already waits."""
        if side not in self._paused:
            self._paused.add(side)
            with contextlib.suppress(RuntimeError):  # it is closed
                self._transport(side).pause_reading()

    def resume(self, side: str) -> None:
        """Read on, if it was paused."""
        if side in self._paused:
            self._paused.discard(side)
            with contextlib.suppress(RuntimeError):
                self._transport(side).resume_reading()

    def _transport(self, side: str) -> asyncio.ReadTransport:
        writer = self.to_client if side == "client" else self.to_server
        return cast(asyncio.ReadTransport, writer.transport)

    def give(self, data: bytes) -> None:
        """To the client, if it has an ear left."""
        if not self.to_client.transport.is_closing():
            self.to_client.write(data)

    async def end_requests(self, answered: Callable[[], bool]) -> None:
        """Tell the server that the client sends no more; it may still have to answer.

        TLS cannot be closed by half: there it is closed once all is answered, so that a dead
        client's transaction ends no later than without TLS.
        """
        if self.to_server.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self.to_server.write_eof()
            return
        for _ in range(ANSWERS_TRIES):
            if answered() or self.to_server.is_closing():
                break
            await asyncio.sleep(ANSWERS_SECONDS / ANSWERS_TRIES)
        self.to_server.close()

    async def drop(self) -> None:
        """Abort both; returns once the server's side is really closed."""
        self.abort("both")
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self.to_server.wait_closed(), SETTLE_SECONDS)

    async def close(self) -> None:
        """Close both; what is on its way still arrives, for a while."""
        writers = (self.to_client, self.to_server)
        for writer in writers:
            writer.close()
        waits = (writer.wait_closed() for writer in writers)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*waits, return_exceptions=True)
        self.abort("both")
