"""The frames of Postgres' protocol 3: cutting a byte stream into messages, and reading a few.

Only what the wire must understand is read: statements, binds, transaction states, errors, tags.
Everything else passes as bytes. Reference: PostgreSQL documentation, "Message Formats".
"""

import asyncio
import struct

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
MESSAGE_MAX_BYTES = 1 << 30
STARTUP_MAX_BYTES = 1 << 16
TLS_HANDSHAKE = 0x16
HEADER = struct.Struct("!BI")
HEADER_BYTES = HEADER.size
COUNT = struct.Struct("!H")
LENGTH = struct.Struct("!i")
SYNC = b"S\x00\x00\x00\x04"
FLUSH = b"H\x00\x00\x00\x04"
# Server messages whose payload the wire reads, and those it must at least notice.
READ_TYPES = frozenset(b"ZCEKtS")
SCANNED = READ_TYPES | frozenset(b"IsG")
COPY_IN, DATA_ROW, PORTAL_SUSPENDED, READY, COMPLETE = b"GDsZC"
COPY_OR_LAST = frozenset(b"dcfpX")  # client messages that are passed on as they come
TERMINATE = ord("X")
FLIGHT_ENDS = frozenset(b"SQFH")
BIND = ord("B")
ALONE_MAX_BYTES = 1 << 14
_DESCRIBE = b"D\x00\x00\x00\x06P\x00"
_EXECUTE = b"E\x00\x00\x00\x09\x00"  # of the portal without a name, and how many rows of it
# What drivers send after a Bind, and the place of the Execute among the messages then.
TAILS = {
    between + _EXECUTE + rows + SYNC: index
    for index, between in ((1, b""), (2, _DESCRIBE))
    for rows in (b"\x00\x00\x00\x00", b"\x00\x00\x00\x01")
}
Message = tuple[int, bytes]


class ProtocolError(Exception):
    """The stream is not Postgres' protocol, or a message is beyond all limits."""


class DirectTlsError(ProtocolError):
    """The client began with TLS; no message in Postgres' protocol would reach it."""


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first, untyped message: (protocol or request code, whole message)."""
    head = await reader.readexactly(4)
    if head[0] == TLS_HANDSHAKE:
        raise DirectTlsError("direct TLS is not supported: use sslmode=disable or prefer")
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


def bound_alone(data: bytes) -> int:
    """Where the Execute stands in a whole flight of one Bind, one Execute and Sync; 0: it is none.

    This is what a prepared statement comes down to in every driver; larger ones are left out.
    """
    if data[0] != BIND or not HEADER_BYTES < len(data) <= ALONE_MAX_BYTES or data[HEADER_BYTES]:
        return 0
    return TAILS.get(data[1 + int.from_bytes(data[1:5], "big") :], 0)


class Splitter:
    """Cuts what a client sends into whole messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def empty(self) -> bool:
        """True while no message has begun."""
        return not self._rest

    def feed(self, data: bytes) -> list[Message]:
        """The (type, whole message) pairs that `data` completes."""
        if self._rest:
            self._rest += data
            if not self._complete(self._rest):
                return []
            data = bytes(self._rest)
            self._rest.clear()
        messages: list[Message] = []
        at, size = 0, len(data)
        while size - at >= HEADER.size:
            kind, length = HEADER.unpack_from(data, at)
            end = at + 1 + length
            if not 4 <= length <= MESSAGE_MAX_BYTES:
                raise ProtocolError(f"a client message of {length} bytes")
            if end > size:
                break
            messages.append((kind, data[at:end]))
            at = end
        if at < size:
            self._rest += data[at:]
        return messages

    def _complete(self, data: bytearray) -> bool:
        """Whether the first message is whole: a large one is not copied for each piece of it."""
        if len(data) < HEADER.size:
            return False
        length: int = HEADER.unpack_from(data)[1]
        return len(data) > length or not 4 <= length <= MESSAGE_MAX_BYTES


class Scanner:
    """Finds the messages that matter in the server's stream without copying the bulk of it.

    A limited Execute ends with PortalSuspended, which has no tag; it is given the one that
    CommandComplete would have had, with the rows that were counted.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._head = bytearray()  # of a message that is not whole yet
        self._payload: bytearray | None = None
        self._kind = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """(type, payload, end offset in `data`) of each message of `SCANNED` that ends in it."""
        found: list[tuple[int, bytes, int]] = []
        at, size = 0, len(data)
        if self._left or self._head:
            at = self._go_on(data, found)
        unpack, rows = HEADER.unpack_from, self._rows
        while size - at >= HEADER_BYTES:
            kind, length = unpack(data, at)
            end = at + 1 + length
            if not 4 <= length <= MESSAGE_MAX_BYTES:
                raise ProtocolError(f"a server message of {length} bytes")
            if end > size:
                break
            if kind == DATA_ROW:
                rows += 1
            elif kind in SCANNED:
                payload = data[at + HEADER_BYTES : end] if kind in READ_TYPES else b""
                if kind == PORTAL_SUSPENDED:
                    payload = b"SELECT %d\0" % rows
                rows = 0
                found.append((kind, payload, end))
            at = end
        self._rows = rows
        if at < size:
            self._begin(data, at)
        return found

    def _begin(self, data: bytes, at: int) -> None:
        """Keep what there is of a message whose end is not here; of most, how much is missing."""
        self._head += data[at : at + HEADER_BYTES]
        at += HEADER_BYTES
        if len(self._head) < HEADER_BYTES:
            return
        self._kind, length = HEADER.unpack(self._head)
        self._head.clear()
        self._payload = bytearray(data[at:]) if self._kind in READ_TYPES else None
        self._left = length - 4 - (len(data) - at)

    def _go_on(self, data: bytes, found: list[tuple[int, bytes, int]]) -> int:
        """Take what `data` has of the message that is open; returns the offset after it."""
        at = 0
        if self._head:
            at = HEADER_BYTES - len(self._head)
            head = bytes(self._head) + data[:at]
            if len(head) < HEADER_BYTES:
                self._head += data
                return len(data)
            self._head.clear()
            self._kind, length = HEADER.unpack(head)
            if not 4 <= length <= MESSAGE_MAX_BYTES:
                raise ProtocolError(f"a server message of {length} bytes")
            self._payload = bytearray() if self._kind in READ_TYPES else None
            self._left = length - 4
        end = min(at + self._left, len(data))
        if self._payload is not None:
            self._payload += data[at:end]
        self._left -= end - at
        if not self._left:
            self._end(end, found)
        return end

    def _end(self, end: int, found: list[tuple[int, bytes, int]]) -> None:
        """The message that was open has come to its end."""
        if self._kind == DATA_ROW:
            self._rows += 1
        elif self._kind in SCANNED:
            payload = bytes(self._payload or b"")
            if self._kind == PORTAL_SUSPENDED:
                payload = b"SELECT %d\0" % self._rows
            self._rows = 0
            found.append((self._kind, payload, end))


def cstring(data: bytes, at: int) -> tuple[str, int]:
    """A zero-terminated string, and the offset after it."""
    end = data.index(b"\x00", at)
    return data[at:end].decode(errors="replace"), end + 1


def read_parse(message: bytes) -> tuple[str, str, tuple[int, ...]]:
    """Statement name, SQL and the declared parameter types of a Parse."""
    name, at = cstring(message, 5)
    sql, at = cstring(message, at)
    return name, sql, read_types(message, at)


def read_types(data: bytes, at: int = 0) -> tuple[int, ...]:
    """A counted list of type ids, as in Parse and ParameterDescription."""
    (count,) = struct.unpack_from("!H", data, at)
    return struct.unpack_from(f"!{count}I", data, at + 2)


def read_bind(message: bytes) -> tuple[str, str, list[tuple[int, bytes | None]]]:
    """Portal, statement and the (format, value) pairs of a Bind."""
    portal, at = cstring(message, 5)
    statement, at = cstring(message, at)
    return portal, statement, read_values(message, at)


def read_values(message: bytes, at: int) -> list[tuple[int, bytes | None]]:
    """The (format, value) pairs of a Bind, from the end of its names on."""
    (count,) = COUNT.unpack_from(message, at)
    formats = struct.unpack_from(f"!{count}H", message, at + 2) if count else (0,)
    at += 2 + 2 * count
    (total,) = COUNT.unpack_from(message, at)
    at += 2
    values: list[tuple[int, bytes | None]] = []
    for index in range(total):
        (length,) = LENGTH.unpack_from(message, at)
        at += 4
        shape = formats[index] if count > 1 else formats[0]
        if length < 0:
            values.append((shape, None))
        else:
            values.append((shape, message[at : at + length]))
            at += length
    return values


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
