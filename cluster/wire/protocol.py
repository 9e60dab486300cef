"""The frames of Postgres' protocol 3: cutting a byte stream into messages, and reading a few.

Only what the wire must understand is read: statements, binds, transaction states, errors, tags.
Everything else passes as bytes. Reference: PostgreSQL documentation, "Message Formats".
"""

import asyncio
import struct
from collections.abc import Iterator

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
MESSAGE_MAX_BYTES = 1 << 30
STARTUP_MAX_BYTES = 1 << 16
READ_BYTES = 1 << 18
HEADER = struct.Struct("!cI")
SYNC = b"S\x00\x00\x00\x04"
FLUSH = b"H\x00\x00\x00\x04"
# Server messages whose payload the wire reads.
READ_TYPES = frozenset(b"ZCEK")


class ProtocolError(Exception):
    """The stream is not Postgres' protocol, or a message is beyond all limits."""


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first, untyped message: (protocol or request code, whole message)."""
    head = await reader.readexactly(4)
    if head[0] == 0x16:
        raise ProtocolError("direct TLS is not supported: use sslmode=disable or prefer")
    (length,) = struct.unpack("!I", head)
    if not 8 <= length <= STARTUP_MAX_BYTES:
        raise ProtocolError("not a Postgres startup message")
    body = await reader.readexactly(length - 4)
    return struct.unpack("!I", body[:4])[0], head + body


def startup_parameters(message: bytes) -> dict[str, str]:
    """The names and values of a startup message."""
    parts = message[8:].split(b"\x00")
    texts = [part.decode(errors="replace") for part in parts]
    return dict(zip(texts[::2], texts[1::2], strict=False))


async def read_message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One typed message: (type byte, whole message)."""
    head = await reader.readexactly(5)
    kind, length = HEADER.unpack(head)
    if not 4 <= length <= MESSAGE_MAX_BYTES:
        raise ProtocolError(f"a message of {length} bytes")
    return kind[0], head + await reader.readexactly(length - 4) if length > 4 else head


class Scanner:
    """Finds message boundaries in the server's stream without copying the bulk of it."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._payload: bytearray | None = None
        self._kind = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, int]]:
        """Yield (type, payload or b"", end offset in `data`) of each message that ends in it."""
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                take = min(5 - len(self._head), end - at)
                self._head += data[at : at + take]
                at += take
                if len(self._head) < 5:
                    return
                kind, length = HEADER.unpack(self._head)
                if not 4 <= length <= MESSAGE_MAX_BYTES:
                    raise ProtocolError(f"a server message of {length} bytes")
                self._kind, self._left = kind[0], length - 4
                self._head.clear()
                self._payload = bytearray() if self._kind in READ_TYPES else None
            take = min(self._left, end - at)
            if self._payload is not None:
                self._payload += data[at : at + take]
            at += take
            self._left -= take
            if not self._left:
                yield self._kind, bytes(self._payload or b""), at


def cstring(data: bytes, at: int) -> tuple[str, int]:
    """A zero-terminated string, and the offset after it."""
    end = data.index(b"\x00", at)
    return data[at:end].decode(errors="replace"), end + 1


def read_parse(message: bytes) -> tuple[str, str]:
    """Statement name and SQL of a Parse."""
    name, at = cstring(message, 5)
    return name, cstring(message, at)[0]


def read_bind(message: bytes) -> tuple[str, str, list[tuple[int, bytes | None]]]:
    """Portal, statement and the (format, value) pairs of a Bind."""
    portal, at = cstring(message, 5)
    statement, at = cstring(message, at)
    (count,) = struct.unpack_from("!H", message, at)
    formats = struct.unpack_from(f"!{count}H", message, at + 2)
    at += 2 + 2 * count
    (total,) = struct.unpack_from("!H", message, at)
    at += 2
    values: list[tuple[int, bytes | None]] = []
    for index in range(total):
        (length,) = struct.unpack_from("!i", message, at)
        at += 4
        shape = formats[index] if count > 1 else formats[0] if count else 0
        values.append((shape, None if length < 0 else message[at : at + length]))
        at += max(0, length)
    return portal, statement, values


def sqlstate(payload: bytes) -> str:
    """The SQLSTATE of an ErrorResponse."""
    for field in payload.split(b"\x00"):
        if field[:1] == b"C":
            return field[1:].decode(errors="replace")
    return "?????"


def error_response(code: str, text: str) -> bytes:
    """A FATAL ErrorResponse of our own."""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{text}\0\0".encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields
