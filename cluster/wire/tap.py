"""A stream that is read like any other until it is diverted: then what comes goes to a function.

Logins are a dialogue and read best as one; relaying is a reaction. A reader task costs a wake-up
per answer and as much again for its hand-over to the next task; a function called by the loop's
own read costs neither. So a connection begins as asyncio's streams and ends as callbacks, on the
same transport.

Limits: what was diverted cannot be read any more.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

READ_LIMIT_BYTES = 1 << 20
BACKLOG = 512
Streams = tuple["Tap", asyncio.StreamWriter]
Accept = Callable[["Tap", asyncio.StreamWriter], Awaitable[None]]


class Tap(asyncio.StreamReader):
    """A reader with a second way out."""

    _on_data: Callable[[bytes], None] | None = None
    _on_end: Callable[[], None] | None = None
    _ended = False

    async def divert(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Give all that is unread and all that comes to `on_data`; does not wait for anything.

        `on_end` is called once, at the end or loss of the stream.
        """
        ended = self._ended
        super().feed_eof()  # so that what is here can be read without waiting for more
        try:
            rest = await super().read()
        except OSError:
            rest, ended = b"", True
        self._on_data, self._on_end = on_data, on_end
        if rest:
            on_data(rest)
        if ended:
            self._end()

    def feed_data(self, data: Any) -> None:
        """What the transport has read."""
        if self._on_data is None:
            super().feed_data(data)
        else:
            self._on_data(data)

    def feed_eof(self) -> None:
        """The other side sends no more."""
        self._ended = True
        if self._on_data is None:
            super().feed_eof()
        else:
            self._end()

    def set_exception(self, exc: Exception) -> None:
        """The stream is lost."""
        self._ended = True
        super().set_exception(exc)
        if self._on_data is not None:
            self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()


async def listen(accept: Accept, host: str, port: int) -> asyncio.Server:
    """Listen, and call `accept` with the streams of each client."""
    loop = asyncio.get_running_loop()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the wire ends; the streams would cry
            await accept(cast(Tap, reader), writer)

    def client() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(Tap(READ_LIMIT_BYTES, loop), accepted, loop)

    return await loop.create_server(client, host, port, backlog=BACKLOG)


async def connect(host: str, port: int) -> Streams:
    """A connection by TCP; OSError when there is none to be had."""
    loop = asyncio.get_running_loop()
    reader = Tap(READ_LIMIT_BYTES, loop)
    streams = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: streams, host, port)
    return reader, asyncio.StreamWriter(transport, streams, reader, loop)


async def connect_unix(path: str) -> Streams:
    """A connection by a socket of this machine; OSError when there is none to be had."""
    loop = asyncio.get_running_loop()
    reader = Tap(READ_LIMIT_BYTES, loop)
    streams = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: streams, path)
    return reader, asyncio.StreamWriter(transport, streams, reader, loop)
