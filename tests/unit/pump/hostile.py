"""A pump, and a server that answers each request as a test says."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from loadtests.pump.frames import Answered, Burst, End, Ended, Hello, Result, Shot, Target
from loadtests.pump.link import Pump
from results.records import Completion, GeneratorEnd, Intent

READER = msgspec.json.Decoder(Intent | Completion | GeneratorEnd)
Play = Callable[[socket.socket, int], bool]  # connection, number of the request; False: close
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def accept(connection: socket.socket, _number: int) -> bool:
    connection.sendall(ANSWER)
    return True


def read_request(connection: socket.socket) -> bytes:
    """One whole request; b"" when the client closed."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


@dataclass
class Server:
    """A thread for each connection; requests are counted over all of them."""

    play: Play = accept
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    silent: bool = False  # takes a connection and reads nothing

    @contextlib.contextmanager
    def serving(self) -> Iterator["Server"]:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as listener:
            listener.bind((self.host, self.port))
            listener.listen(512)
            self.port = listener.getsockname()[1]
            threading.Thread(target=self.take, args=(listener,), daemon=True).start()
            yield self
            listener.shutdown(socket.SHUT_RDWR)

    def take(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while request := read_request(connection):
                self.requests.append(request)
                if not self.play(connection, len(self.requests)):
                    return


@dataclass
class Driver:
    """Hands bursts to a pump and collects what came back."""

    pump: Pump
    history: Path
    host: str = "127.0.0.1"
    results: dict[int, Result] = field(default_factory=dict)
    ended: Ended | None = None
    _numbers: int = 0

    def send(
        self, copies: int = 1, *, due_ns: int = 0, body: bytes = b"{}", latest_ns: int = 0,
        last_byte: bool = False, target: int = 0,
    ) -> list[int]:  # fmt: skip
        numbers = [self._numbers + at for at in range(copies)]
        self._numbers += copies
        due_ns = due_ns or time.monotonic_ns()
        self.pump.send(
            Burst(
                due_ns=due_ns, contents=(body,), latest_ns=latest_ns, last_byte=last_byte,
                shots=tuple(Shot(number, f"a.{number}.1", target, head(number, body), 0)
                            for number in numbers),
                intents=b"".join(line(number, due_ns) for number in numbers),
            )
        )  # fmt: skip
        return numbers

    def wait(self, count: int) -> list[Result]:
        """The results of so many requests, those that came before included."""
        for frame in self.pump.hear() if len(self.results) < count else ():
            assert isinstance(frame, Answered)
            for one in frame.results:
                assert one.number not in self.results, "told twice"
                self.results[one.number] = one
            if len(self.results) >= count:
                break
        assert len(self.results) == count
        return [self.results[number] for number in sorted(self.results)]

    def one(self, **more: object) -> Result:
        """What becomes of one request."""
        (number,) = self.send(**more)  # type: ignore[arg-type]
        self.wait(len(self.results) + 1)
        return self.results[number]

    def end(self) -> list[Intent | Completion | GeneratorEnd]:
        """End it; the records of its history."""
        self.pump.send(End(0, 3, 2, 1))
        for frame in self.pump.hear():
            if isinstance(frame, Answered):
                self.results |= {one.number: one for one in frame.results}
            if isinstance(frame, Ended):
                self.ended = frame
        assert self.ended is not None
        assert self.pump.stop() == 0
        return self.records()

    def records(self) -> list[Intent | Completion | GeneratorEnd]:
        return [READER.decode(one) for one in self.history.read_bytes().splitlines()]


def head(number: int, body: bytes) -> bytes:
    return (
        f"POST /webhooks HTTP/1.1\r\nHost: x\r\nX-Onceproof-Attempt: a.{number}.1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()


def line(number: int, due_ns: int) -> bytes:
    intent = Intent(
        attempt_id=f"a.{number}.1", group_id="g", shop="s", order_id=1, topic="orders/paid",
        webhook_id="w", event_id="e", copy=0, attempt=1, authentic=True, target="web-0",
        lines=(), intended_ns=due_ns,
    )  # fmt: skip
    return msgspec.json.encode(intent) + b"\n"


@contextlib.contextmanager
def pumping(
    history: Path, targets: Sequence[tuple[str, int]], *, tls: bool = False,
    connect_seconds: float = 1.0, total_seconds: float = 5.0, in_flight_max: int = 1_000,
    environment: Sequence[str] = (),
) -> Iterator[Driver]:  # fmt: skip
    pump = Pump.start(
        Hello(
            history=str(history),
            targets=tuple(Target(host, port, tls) for host, port in targets),
            connect_seconds=connect_seconds, total_seconds=total_seconds,
            in_flight_max=in_flight_max,
        ),
        hide=environment,
    )  # fmt: skip
    try:
        yield Driver(pump, history)
    finally:
        pump.stop()
