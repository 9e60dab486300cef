"""The sockets of a loop and what has happened to them, to the microsecond.

`epoll.poll` counts in milliseconds, so what is shorter is waited for by `select` on the epoll. A
socket that is removed is closed when all events of a round have been looked at: its number must
not be that of a new connection while an event of the old one is still in the list.
"""

import contextlib
import select
import socket
from typing import Protocol

READ, WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
EVENTS_MAX = 256  # of one round


class Polled(Protocol):
    """What is in a poll."""

    fd: int
    events: int
    socket: socket.socket


class Poll:
    """An epoll, and whose each socket is."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._closing: list[socket.socket] = []
        self.by_fd: dict[int, Polled] = {}

    def add(self, one: Polled, events: int) -> None:
        """Look at it from now on."""
        self.by_fd[one.fd] = one
        self._epoll.register(one.fd, events)
        one.events = events

    def change(self, one: Polled, events: int) -> None:
        """Look for something else."""
        if one.events != events:
            self._epoll.modify(one.fd, events)
            one.events = events

    def remove(self, one: Polled) -> None:
        """Look at it no more, and close it after this round."""
        del self.by_fd[one.fd]
        with contextlib.suppress(OSError):  # one that failed in its first handshake is closed
            self._epoll.unregister(one.fd)
        self._closing.append(one.socket)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """What has happened to which number, after so long at most; 0 does not wait."""
        for one in self._closing:
            one.close()
        self._closing.clear()
        milliseconds = int(seconds * 1000)
        if milliseconds:
            # It rounds up. What is left of the wait, the next call waits.
            return self._epoll.poll((milliseconds - 0.5) / 1000, EVENTS_MAX)
        happened = self._epoll.poll(0, EVENTS_MAX)
        if not happened and seconds > 0:
            select.select([self._epoll], (), (), seconds)
            happened = self._epoll.poll(0, EVENTS_MAX)
        return happened
