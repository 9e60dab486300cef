"""One connection and the attempt that it carries: non-blocking, TLS or not, one at a time.

It is made for a request or kept from an earlier one. Until its request's first byte has been given
to the kernel, whatever happens to it has sent nothing; from then on, an end without a complete
answer is an attempt of which nothing is known, and it is never sent again. Under TLS it is unknown
what of a refused write has left, so the first try counts as sent.
"""

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

from loadtests.pump.poll import READ, WRITE, Poll
from loadtests.pump.response import BadResponseError, Response, whole

if TYPE_CHECKING:
    from loadtests.pump.targets import Target

READ_BYTES = 16 << 10
READS_MAX = 16  # of one connection before others have their turn
IN_PROGRESS = (0, errno.EINPROGRESS, errno.EAGAIN)
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


# What a connection does. Numbers, not an enum: they are looked at ten times for each request.
CONNECTING: Final = 0
SHAKING_HANDS: Final = 1
READY: Final = 2  # nothing is under way
BUSY: Final = 3
CLOSED: Final = 4


class Attempt:
    """One request on its way, from its reservation to what became of it."""

    __slots__ = ("attempt_id", "begun_ns", "connection", "deadline_ns", "done", "held", "left",
                 "number", "request", "response", "reusable", "status", "target")  # fmt: skip

    def __init__(self, number: int, attempt_id: str, target: "Target") -> None:
        self.number = number
        self.attempt_id = attempt_id
        self.target = target
        self.request = b""  # what is still to be written
        self.held = b""  # the last byte, where that is released by itself
        self.left = False  # a byte of it may have left
        self.connection: Connection | None = None
        self.begun_ns = 0  # 0: its time has not come
        self.deadline_ns = 0
        self.response: Response | None = None  # while it comes in pieces
        self.status = 0  # of its answer, when that is complete
        self.reusable = False  # and so is its connection
        self.done = False


class Connection:
    """A socket in the loop's poll."""

    __slots__ = ("_address", "_more", "_poll", "_secure", "attempt", "events", "fd", "socket",
                 "state", "target")  # fmt: skip

    def __init__(self, target: "Target", poll: Poll) -> None:
        """Begin to connect. OSError when even that fails, on every address."""
        self.target = target
        self.attempt: Attempt | None = None
        self.state = CONNECTING
        self.events = 0  # what `Poll` looks for
        self._poll = poll
        self._more = list(target.addresses)
        self._secure = False
        self._connect(OSError(target.error))

    def _connect(self, problem: OSError) -> None:
        while self._more:
            family, self._address = self._more.pop(0)
            try:
                plain = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:  # a family that this machine lacks, no more files
                problem = error
                continue
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = plain.connect_ex(self._address)
            if number in IN_PROGRESS:
                self.socket, self.fd = plain, plain.fileno()
                self._poll.add(self, WRITE)
                return
            plain.close()
            problem = error_of(number)
        self.state = CLOSED
        try:
            raise problem
        finally:
            del problem  # it refers to this frame: together they would be garbage to look for

    def advance(self) -> bool:
        """Go on connecting; True when it is ready. OSError when nobody takes it."""
        if self.state == CONNECTING:
            number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._poll.remove(self)
                self._connect(error_of(number))  # the next address, if there is one
                return False
            self.target.prefer((self.socket.family, self._address))
            self.state = READY
            if self.target.tls is not None:
                self.socket = self.target.tls.wrap_socket(
                    self.socket, do_handshake_on_connect=False, suppress_ragged_eofs=False,
                    server_hostname=self.target.host,
                )  # fmt: skip
                self._secure, self.state = True, SHAKING_HANDS
        if self.state == SHAKING_HANDS:
            assert isinstance(self.socket, ssl.SSLSocket)
            try:
                self.socket.do_handshake()
            except ssl.SSLWantReadError:
                self._poll.change(self, READ)
                return False
            except ssl.SSLWantWriteError:
                self._poll.change(self, WRITE)
                return False
            self.state = READY
        self._poll.change(self, READ)
        return True

    def send(self, attempt: Attempt) -> None:
        """Give it the attempt's request, or as much as it takes now. OSError when it is broken."""
        self.state = BUSY
        request = attempt.request
        attempt.left = attempt.left or self._secure
        try:
            sent = self.socket.send(request)
        except NOT_NOW:
            sent = 0
        attempt.left = attempt.left or sent > 0
        if sent < len(request):
            attempt.request = request[sent:]
            self._poll.change(self, WRITE)
        else:
            attempt.request = b""

    def release(self, attempt: Attempt) -> None:
        """Send the byte that was held back. OSError when it is broken."""
        behind = bool(attempt.request)  # the poll sends it when the rest has gone
        attempt.request, attempt.held = attempt.request + attempt.held, b""
        if not behind:
            self.send(attempt)

    def write_on(self) -> None:
        """There is room for more. OSError when it is broken."""
        if self.attempt is not None and self.attempt.request:
            self.send(self.attempt)
        if self.attempt is None or not self.attempt.request:
            self._poll.change(self, READ)

    def read(self) -> bool:
        """Read what is there; True when the answer is complete. BadResponseError, OSError."""
        attempt = self.attempt
        assert attempt is not None
        response = attempt.response
        for _ in range(READS_MAX):
            try:
                data = self.socket.recv(READ_BYTES)
            except NOT_NOW:
                return False
            if response is None:
                head = whole(data)
                if head is not None:
                    attempt.status, attempt.reusable = head.status, not head.close
                    return True
                response = attempt.response = Response()
            if not data:
                if not response.end():
                    raise BadResponseError(
                        "the connection was closed before the answer was complete"
                    )
                attempt.status = response.status
                return True
            if response.feed(data):
                attempt.status, attempt.reusable = response.status, response.reusable
                return True
            if not self._secure and len(data) < READ_BYTES:
                return False
        return False

    def quiet(self) -> bool:
        """Whether an idle connection is as it was: neither closed nor spoken on by the server."""
        try:
            self.socket.recv(1)
        except NOT_NOW:
            return True  # under TLS, a ticket for later
        except OSError:
            return False
        return False

    def close(self) -> None:
        """The end of it."""
        if self.state != CLOSED:
            self.state = CLOSED
            self._poll.remove(self)


def error_of(number: int) -> OSError:
    """The exception of an errno: ConnectionRefusedError and others."""
    return OSError(number, os.strerror(number))
