"""The pump's end of what joins it to Locust, in the loop's poll."""

import contextlib
import socket
from collections.abc import Iterator

from loadtests.pump.frames import Down, Frames, down
from loadtests.pump.poll import READ, WRITE, Poll

UNREAD_MAX_BYTES = 16 << 20  # then Locust is not listened to until it has listened
DRAIN_SECONDS = 10.0
WRITE_ONLY = WRITE & ~READ


class Stream:
    """Reads bursts as long as there is room for them, and writes results."""

    def __init__(self, link: socket.socket, poll: Poll) -> None:
        self.socket, self.fd, self.events = link, link.fileno(), 0
        link.setblocking(False)
        self._poll = poll
        self._frames = Frames()
        self._unsent = bytearray()
        self._paused = False
        poll.add(self, READ)

    def read(self) -> Iterator[Down]:
        """What has come. ConnectionError when Locust is gone."""
        if self._unsent:
            self.write(b"")
        if self._paused:
            return
        try:
            if not self._frames.read(self.socket):
                raise ConnectionError("Locust is gone")
        except BlockingIOError:
            return
        for body in self._frames.whole():
            yield down.decode(body)

    def pause(self) -> None:
        """There is no room for more."""
        self._paused = True
        self._look()

    def resume(self) -> None:
        """There is again."""
        if self._paused:
            self._paused = False
            self._look()

    def write(self, frame: bytes | bytearray) -> None:
        """Send it, now or as soon as Locust listens. ConnectionError when it is gone."""
        self._unsent += frame
        with contextlib.suppress(BlockingIOError):
            del self._unsent[: self.socket.send(self._unsent)]
        self._look()

    def drain(self) -> None:
        """Wait until Locust has it all, or does not take it."""
        self.socket.settimeout(DRAIN_SECONDS)
        with contextlib.suppress(OSError):
            self.socket.sendall(self._unsent)

    def _look(self) -> None:
        deaf = self._paused or len(self._unsent) > UNREAD_MAX_BYTES
        events = (0 if deaf else READ) | (WRITE_ONLY if self._unsent else 0)
        self._poll.change(self, events)
