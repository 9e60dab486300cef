"""Which requests the fast lane may answer itself: the plain ones, told by their head.

A head is plain if two servers cannot read it differently: the one hot route, letter by letter, in
HTTP/1.1; a length in digits, and allowed; a host; no header twice, and none that changes how the
message is framed or how the connection goes on. Everything else is not refused here but left to
aiohttp, so that there is one place that judges the odd ones.

llhttp (by httptools) reads names and values, the parser that aiohttp's own is built on, with none
of its leniencies.
"""

from typing import Final, NamedTuple

import httptools

from service.webhook import BODY_LIMIT_BYTES

START: Final = b"POST /webhooks/orders/paid HTTP/1.1\r\n"
END: Final = b"\r\n\r\n"
HEAD_LIMIT_BYTES: Final = 8190  # of all lines; aiohttp's limit is as much for each of them
HEADERS_MAX: Final = 100
LENGTH_DIGITS_MAX: Final = len(str(BODY_LIMIT_BYTES))

_NOT_PLAIN = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"sec-websocket-key1", b"trailer", b"te")
)
_WANTED = {
    name.lower().encode(): name
    for name in ("X-Shopify-Hmac-Sha256", "X-Shopify-Webhook-Id", "X-Shopify-Shop-Domain")
}


class Head(NamedTuple):
    """What a delivery needs of its head."""

    headers: dict[str, str]  # those that the deliveries ask for, if they were sent
    length: int  # of the body, in bytes


class _Names:
    """What llhttp tells of one head."""

    __slots__ = ("complete", "found", "repeated")

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self.repeated = self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self.found:
            self.repeated = True
        self.found[name] = value

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(head: bytes) -> Head | None:
    """A plain head, from its first byte to the empty line; None: it is not plain."""
    names = _Names()
    try:
        httptools.HttpRequestParser(names).feed_data(head)
    except httptools.HttpParserError:
        return None
    except httptools.HttpParserUpgrade:
        return None
    found = names.found
    length = found.get(b"content-length", b"")
    if (
        not names.complete
        or names.repeated
        or len(found) > HEADERS_MAX
        or not found.keys().isdisjoint(_NOT_PLAIN)
        or b"host" not in found
        or found.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        or not length.isdigit()
        or len(length) > LENGTH_DIGITS_MAX
        or int(length) > BODY_LIMIT_BYTES
    ):
        return None
    headers = {
        name: found[raw].rstrip(b" \t").decode("utf-8", "surrogateescape")
        for raw, name in _WANTED.items()
        if raw in found
    }
    return Head(headers, int(length))
