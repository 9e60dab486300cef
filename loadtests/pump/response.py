"""What one HTTP/1.1 answer says: its status, and whether all of it came.

Strict where a lenient reader would have to guess: an answer is complete by its length, by its last
chunk, or by the end of a connection if it named neither. Whatever is malformed, ambiguous (two
lengths, a length and chunks) or longer than a head may be is an error, and the attempt has no
answer. Bodies are counted, not kept.

Services answer with the same head again and again, so parsed heads are remembered by their bytes.
"""

import re
from typing import NamedTuple

HEAD_MAX_BYTES = 64 << 10
INTERIM_MAX = 16  # 1xx before the answer itself
CHUNK_LINE_MAX_BYTES = 4 << 10
HEADS_MAX = 256
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
LENGTH = re.compile(rb"[0-9]{1,18}")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00\r\n]*)?")
CHUNKED, UNTIL_CLOSE = -1, -2  # instead of a length


class BadResponseError(Exception):
    """It is no HTTP/1.1 answer, or may be read in two ways."""


class Head(NamedTuple):
    """The parts of a head that decide where its answer ends."""

    status: int
    length: int  # of the body; CHUNKED, UNTIL_CLOSE
    close: bool  # the connection is not to be used again


_heads: dict[bytes, Head] = {}


def head_of(raw: bytes) -> Head:
    """A head, from its status line to the empty line; BadResponseError."""
    known = _heads.get(raw)
    if known is None:
        if len(_heads) >= HEADS_MAX:
            _heads.clear()
        known = _heads[raw] = parse_head(raw)
    return known


def parse_head(raw: bytes) -> Head:
    """The same, read anew."""
    status_line, *fields = raw[:-4].split(b"\r\n")
    found = STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise BadResponseError(f"no status line of HTTP/1.1: {status_line[:80]!r}")
    status, close = int(found[2]), found[1] == b"0"
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    for field in fields:
        parts = FIELD.fullmatch(field)
        if parts is None:
            raise BadResponseError(f"no header field: {field[:80]!r}")
        name, value = parts[1].lower(), parts[2]
        if name == b"content-length":
            lengths.update(one.strip(b" \t") for one in value.split(b","))
        elif name == b"transfer-encoding":
            codings += [one.strip(b" \t").lower() for one in value.split(b",")]
        elif name == b"connection":
            close = close or b"close" in [one.strip(b" \t").lower() for one in value.split(b",")]
    return Head(status, body_length(status, lengths, codings), close)


def body_length(status: int, lengths: set[bytes], codings: list[bytes]) -> int:
    """How the end of a body is told (RFC 9112, 6.3, less what that leaves to taste)."""
    if status < 200 or status in (204, 304):
        return 0
    if codings:
        if lengths or codings != [b"chunked"]:
            raise BadResponseError("its length is told in two ways")
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSE
    if len(lengths) > 1 or not LENGTH.fullmatch(length := lengths.pop()):
        raise BadResponseError("its Content-Length is no number")
    return int(length)


def whole(data: bytes) -> Head | None:
    """The head of an answer that is known and complete, with nothing behind it; the usual case."""
    end = data.find(b"\r\n\r\n") + 4
    head = _heads.get(data[:end])
    if head is None or head.status < 200 or head.length != len(data) - end:
        return None
    return head


class Response:
    """Reads one answer, piece by piece; `status` is its own once `feed` has said True."""

    __slots__ = ("_buffer", "_in_chunks", "_interim", "_left", "_trailer_bytes", "begun",
                 "reusable", "status")  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.begun = False  # a byte of it came
        self.reusable = False  # it is complete, and another may follow on its connection
        self._buffer = b""
        self._left: int | None = None  # of the body; UNTIL_CLOSE; None while the head is read
        self._in_chunks = False
        self._interim = 0
        self._trailer_bytes = 0  # above 0 behind the last chunk

    def feed(self, data: bytes) -> bool:
        """True when it is complete; BadResponseError."""
        self.begun = True
        if self._left is None or self._in_chunks:
            data = self._buffer + data if self._buffer else data
            self._buffer = b""
            while self._left is None:
                end = data.find(b"\r\n\r\n")
                if end < 0 or end > HEAD_MAX_BYTES:
                    return self._keep(data, HEAD_MAX_BYTES, "its head")
                head, data = head_of(data[: end + 4]), data[end + 4 :]
                if head.status >= 200:
                    self._begin(head)
                elif head.status == 101 or self._interim >= INTERIM_MAX:
                    raise BadResponseError(
                        f"an interim answer, {head.status}, that nobody asked for"
                    )
                else:
                    self._interim += 1
        if self._in_chunks:
            return self._chunks(data)
        if self._left == UNTIL_CLOSE:
            return False
        assert self._left is not None
        self._left -= len(data)
        if self._left < 0:
            self.reusable = False  # bytes behind its end: nobody asked for them
        return self._left <= 0

    def end(self) -> bool:
        """The connection was closed in order: whether the answer is complete by that."""
        return self._left == UNTIL_CLOSE

    def _begin(self, head: Head) -> None:
        self.status, self.reusable = head.status, not head.close
        if head.length == CHUNKED:
            self._in_chunks, self._left = True, 0
        elif head.length == UNTIL_CLOSE:
            self.reusable, self._left = False, UNTIL_CLOSE
        else:
            self._left = head.length

    def _keep(self, data: bytes, limit: int, what: str) -> bool:
        if len(data) > limit:
            raise BadResponseError(f"{what} is longer than {limit} bytes")
        self._buffer = data
        return False

    def _chunks(self, data: bytes) -> bool:
        """`_left` is what is missing of a chunk and its line end, 0 before a chunk's first line."""
        at = 0
        while True:
            if self._left:
                if self._left > 2:
                    taken = min(self._left - 2, len(data) - at)
                    at, self._left = at + taken, self._left - taken
                if self._left > 2 or len(data) - at < 2:
                    return self._keep(data[at:], HEAD_MAX_BYTES, "the end of a chunk")
                if data[at : at + 2] != b"\r\n":
                    raise BadResponseError("a chunk does not end where it said")
                at, self._left = at + 2, 0
            end = data.find(b"\r\n", at)
            if end < 0:
                return self._keep(data[at:], CHUNK_LINE_MAX_BYTES, "a line between chunks")
            line, at = data[at:end], end + 2
            if self._trailer_bytes:
                self._trailer_bytes += len(line) + 2
                if not line:
                    self.reusable = self.reusable and at == len(data)
                    return True
                if self._trailer_bytes > HEAD_MAX_BYTES or not FIELD.fullmatch(line):
                    raise BadResponseError("its trailer is no header field, or too long")
                continue
            size = CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise BadResponseError(f"no size of a chunk: {line[:80]!r}")
            length = int(size[1], 16)
            if length:
                self._left = length + 2
            else:
                self._trailer_bytes = 2
