"""`python -m scenarios.engine.bench.sink`: reads requests, answers 200, and knows when each came.

As cheap as a server in Python can be, so that it is the generator that is measured: one epoll loop,
no parsing beyond the length. A request's arrival is that of its last byte, by the kernel's clock
(SO_TIMESTAMPNS), before anything of this process has run. `GET` answers with what came since the
last one, as JSON: how many requests, and for each value of the header X-Burst the span between its
first and its last arrival, if all that X-Copies promised have come.

Limits: Linux, HTTP/1.1 with a length, no pipelining.
"""

import json
import select
import socket
import struct
from collections import defaultdict

SO_TIMESTAMPNS = 35  # its number in Linux, which the socket module does not have
READ_BYTES = 256 << 10
BACKLOG = 4_096
EVENTS_MAX = 512
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: sink\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
NO_TIME = struct.pack("qq", 0, 0)


class Sink:
    """One listening socket and all its connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._epoll = select.epoll()
        self._epoll.register(self.listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._requests = 0
        self._bursts: dict[bytes, list[int]] = defaultdict(list)
        self._spans_us: list[float] = []

    def run(self) -> None:
        """For ever."""
        while True:
            for fd, _ in self._epoll.poll(-1, EVENTS_MAX):
                connection = self._connections.get(fd)
                if connection is None:
                    self._accept()
                else:
                    try:
                        self._read(fd, connection)
                    except OSError:
                        self._close(fd)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._connections[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)

    def _close(self, fd: int) -> None:
        self._connections.pop(fd).close()
        self._partial.pop(fd, None)

    def _read(self, fd: int, connection: socket.socket) -> None:
        data, ancillary, _, _ = connection.recvmsg(READ_BYTES, 64)
        if not data:
            self._close(fd)
            return
        if self._partial:
            data = self._partial.pop(fd, b"") + data
        if data.startswith(b"GET "):
            self._tell(connection)
            return
        head = data.find(b"\r\n\r\n")
        if head >= 0:
            at = data.find(b"ontent-", 0, head)
            while at >= 0 and data[at + 7 : at + 15].lower() != b"length: ":
                at = data.find(b"ontent-", at + 1, head)
            length = int(data[at + 15 : data.find(b"\r\n", at)])
        if head < 0 or len(data) < head + 4 + length:
            self._partial[fd] = data
            return
        connection.send(ANSWER)
        self._requests += 1
        burst = data.find(b"X-Burst: ", 0, head)
        if burst >= 0:
            copies = data.find(b"X-Copies: ", 0, head)
            name = data[burst + 9 : data.find(b"\r\n", burst)]
            seconds, ns = struct.unpack("qq", ancillary[0][2] if ancillary else NO_TIME)
            self._arrived(
                name, int(data[copies + 10 : data.find(b"\r\n", copies)]), seconds * 10**9 + ns
            )

    def _arrived(self, burst: bytes, copies: int, at_ns: int) -> None:
        arrivals = self._bursts[burst]
        arrivals.append(at_ns)
        if len(arrivals) == copies:
            self._spans_us.append((max(arrivals) - min(arrivals)) / 1000)
            del self._bursts[burst]

    def _tell(self, connection: socket.socket) -> None:
        told = json.dumps(
            {"requests": self._requests, "spans_us": self._spans_us, "torn": len(self._bursts)}
        ).encode()
        connection.setblocking(True)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(told) + told
        )
        connection.setblocking(False)
        self._requests, self._spans_us = 0, []
        self._bursts.clear()


def main() -> None:
    """Listen, say where, and serve."""
    sink = Sink()
    print(f"ready {sink.listener.getsockname()[1]}", flush=True)  # noqa: T201 - `spawn` reads it
    sink.run()


if __name__ == "__main__":
    main()
