"""What Locust and its pump tell each other: length-prefixed msgpack over a pair of sockets.

Down: one `Hello`, then `Burst`s, then one `End`. Up: `Ready`, then `Answered`s, then `Ended`. A
burst carries its intents as the lines that the history gets, and each of its requests as finished
bytes: neither a secret nor a rule is known on the other side.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

LENGTH_BYTES = 4
FRAME_MAX_BYTES = 256 << 20


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
    """Nothing more comes: answer what is in flight, close the history, end."""

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


def packed(frame: Down | Up) -> bytearray:
    """The bytes of one frame."""
    buffer = bytearray(LENGTH_BYTES)
    _encoder.encode_into(frame, buffer, LENGTH_BYTES)
    buffer[:LENGTH_BYTES] = (len(buffer) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return buffer


class Frames:
    """Cuts a stream into the bodies of frames."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of a frame that is not whole
        self._held = 0
        self._needed = 0  # bytes without which there is nothing to cut

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The bodies that are whole by now; ValueError for a frame that is too long."""
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        view, size, at = memoryview(data), len(data), 0
        self._needed = LENGTH_BYTES
        while size - at >= LENGTH_BYTES:
            length = int.from_bytes(view[at : at + LENGTH_BYTES], "big")
            if length > FRAME_MAX_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            end = at + LENGTH_BYTES + length
            if end > size:
                self._needed = LENGTH_BYTES + length
                break
            yield view[at + LENGTH_BYTES : end]
            at = end
        if at < size:
            self._parts.append(data[at:])
            self._held = size - at
