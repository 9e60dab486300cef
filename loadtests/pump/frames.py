"""What Locust and its pump tell each other: length-prefixed msgpack over a pair of sockets.

Down: one `Hello`, then `Burst`s, then one `End`. Up: `Ready`, then `Answered`s, then `Ended`. A
burst carries its intents as the lines that the history gets, and each of its requests as finished
bytes: neither a secret nor a rule is known on the other side.
"""

import socket
from collections.abc import Iterator

import msgspec
from msgspec import Struct

LENGTH_BYTES = 4
FRAME_MAX_BYTES = 128 << 20
BUFFER_BYTES = 256 << 10


class Target(Struct, array_like=True, frozen=True):
    """Where a request may go."""

    host: str
    port: int
    tls: bool


class Hello(Struct, array_like=True, frozen=True, tag="hello"):
    """The first frame: what stays the same for all of a run."""

    history: str  # the file
    targets: tuple[Target, ...]
    connect_seconds: float
    total_seconds: float  # for the whole of an attempt
    in_flight_max: int = 8_192


class Shot(Struct, array_like=True, frozen=True):
    """One request, sent once."""

    number: int  # comes back with what became of it
    attempt_id: str
    target: int  # index in `Hello.targets`
    head: bytes  # from "POST" to the empty line
    content: int  # index in `Burst.contents`


class Burst(Struct, array_like=True, frozen=True, tag="burst"):
    """Requests that are released together."""

    due_ns: int
    shots: tuple[Shot, ...]
    contents: tuple[bytes, ...]  # copies share a body
    intents: bytes  # lines of the history, written before the first byte
    latest_ns: int = 0  # not begun by then, it is shed; 0: never
    last_byte: bool = False  # all but the last byte goes ahead of time


class End(Struct, array_like=True, frozen=True, tag="end"):
    """Nothing more comes: have what is due answered, close the history, end."""

    worker: int
    planned: int
    sent: int
    shed: int


class Ready(Struct, array_like=True, frozen=True, tag="ready"):
    """The history is open, and names have been looked up."""

    in_flight_max: int


class Result(Struct, array_like=True, frozen=True):
    """What became of one request; `shed` ones are not in the history."""

    number: int
    sent_ns: int | None  # None: not one byte left
    done_ns: int
    status: int | None
    error: str | None
    shed: bool = False


class Answered(Struct, array_like=True, frozen=True, tag="answered"):
    """What became of some requests."""

    results: tuple[Result, ...]


class Ended(Struct, array_like=True, frozen=True, tag="ended"):
    """The history is closed. The last frame."""

    late: int  # bursts that were released later than `engine.LATE_NS` after their time
    shed: int


Down = Hello | Burst | End
Up = Ready | Answered | Ended

_encoder = msgspec.msgpack.Encoder()
down = msgspec.msgpack.Decoder(Down)
up = msgspec.msgpack.Decoder(Up)


def packed(frame: Down | Up, into: bytearray | None = None) -> bytearray:
    """The bytes of one frame, in a buffer that is there or a new one."""
    buffer = bytearray(LENGTH_BYTES) if into is None else into
    _encoder.encode_into(frame, buffer, LENGTH_BYTES)
    buffer[:LENGTH_BYTES] = (len(buffer) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return buffer


class Frames:
    """Reads a stream into one buffer, and cuts it into the bodies of frames.

    One buffer for all of a run: a new one for each read costs more than the read, in page faults.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._at = self._filled = 0  # what is read and not yet given away
        self._needed = LENGTH_BYTES

    def read(self, link: socket.socket) -> bool:
        """Read once; False when the other side has closed. BlockingIOError, ConnectionError."""
        buffer, at, filled = self._buffer, self._at, self._filled
        if at:
            buffer[: filled - at] = buffer[at:filled]
        self._at, self._filled = 0, filled - at
        if self._needed > len(buffer):
            buffer.extend(bytes(self._needed - len(buffer)))
        with memoryview(buffer) as view, view[self._filled :] as room:
            count = link.recv_into(room)
        self._filled += count
        return count > 0

    def whole(self) -> Iterator[memoryview]:
        """The bodies that are whole by now, each until the next; ValueError for one too long."""
        with memoryview(self._buffer) as view:
            while self._filled - self._at >= LENGTH_BYTES:
                at = self._at
                length = int.from_bytes(view[at : at + LENGTH_BYTES], "big")
                if length > FRAME_MAX_BYTES:
                    raise ValueError(f"a frame of {length} bytes")
                self._needed = LENGTH_BYTES + length
                if at + self._needed > self._filled:
                    return
                self._at = at + self._needed
                with view[at + LENGTH_BYTES : self._at] as body:
                    yield body
