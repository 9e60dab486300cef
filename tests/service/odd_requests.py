"""Requests as no decent client sends them: what two servers might read differently.

Each input is a few pipelined requests built from pieces that are right most of the time, with
mistakes drawn from a seed, then maybe damaged byte by byte, then split anywhere.
"""

import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

PAID = b"/webhooks/orders/paid"
TARGETS = (
    b"/webhooks/orders/paid?",
    b"/webhooks/orders/paid?a=1",
    b"/webhooks/orders/paid/",
    b"//webhooks/orders/paid",
    b"/webhooks/orders/pai%64",
    b"/webhooks/orders/paid#x",
    b"http://x/webhooks/orders/paid",
    b"*",
    b"",
    b"/webhooks/orders/create",
    b"/healthz",
    b"/webhooks/orders/paid\xff",
    b"/webhooks/../webhooks/orders/paid",
)
METHODS = (
    b"GET",
    b"PUT",
    b"post",
    b"POS",
    b"POSTT",
    b"HEAD",
    b"OPTIONS",
    b"CONNECT",
    b"P\xd6ST",
    b"",
)
VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1.10",
    b"",
)
ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b"\r\n\t", b"")
LENGTHS = (
    b"+%d",
    b"-%d",
    b" %d",
    b"%d ",
    b"0%d",
    b"00000000%d",
    b"%d,%d",
    b"%d, %d",
    b"0x%x",
    b"%d.0",
    b"1%d",
    b"%d\t",
    b"\t%d",
    b"\x0b%d",
    b"%d;",
    b"'%d'",
    b"%de0",
    b"18446744073709551616",
    b"99999999999999999999",
    b"1048576",
    b"1048577",
    b"",
    b" ",
    b"\xd9\xa3",
    b"%d\x00",
    b"_%d",
    b"1_0",
)
CODINGS = (
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b" chunked",
    b"chunked ",
    b"\x0bchunked",
    b"xchunked",
    b"chunked, chunked",
    b"identity",
    b"gzip, chunked",
    b"chunked, gzip",
    b"chunked, identity",
    b"",
    b"chunked;q=1",
    b"chun\r\n ked",
)
CONNECTIONS = (
    b"close",
    b"Close",
    b"keep-alive",
    b"Keep-Alive",
    b"keep-alive, close",
    b"close, keep-alive",
    b"upgrade",
    b"keep-alive, Upgrade",
    b"x",
    b"",
    b"\x00",
    b"content-length",
    b"transfer-encoding",
)
EXPECTS = (b"100-continue", b"100-Continue", b"200-ok", b"", b"100-continue, x")
UPGRADES = (b"websocket", b"h2c", b"tcp", b"")
HOSTS = (b"x:1", b"", b"x y", b"[::1]", b"\xff", b"x,y", b"a/b", b"x:port", b"@")
NAMES = (
    b"X Y",
    b"X-A ",
    b" X-A",
    b"X\x00A",
    b"X\tA",
    b"",
    b"\xffX",
    b"X(A)",
    b"X:A",
    b"X_A",
    b"Content_Length",
    b"Content-Length ",
    b"Content-Length\t",
    b"Transfer-Encoding ",
    b"X-Shopify-Topic",
    b"Content-Encoding",
    b"Sec-WebSocket-Key1",
    b"Sec-WebSocket-Key",
    b"Trailer",
    b"TE",
    b"Content-Type",
    b"User-Agent",
    b"Server",
    b"Proxy-Connection",
    b"HTTP2-Settings",
    b"x-shopify-webhook-id",
    b"X-SHOPIFY-HMAC-SHA256",
    b"Cookie",
)
VALUES = (
    b"",
    b" ",
    b"a",
    b"\xff\xfe",
    b"a\x00b",
    b"a\x01b",
    b"a\x7fb",
    b"a\tb",
    b"a\rb",
    b"a\nb",
    b"a\r\n b",
    b"\x0ba",
    b"a" * 9000,
    b"gzip",
    b"chunked",
    b"5",
    b"a  ",
    b"\xc3\xa9",
    b"a\x80",
)
SIZES = (
    b"%x",
    b"%X",
    b"0%x",
    b"%x;a=b",
    b"%x ; a",
    b"%x ",
    b" %x",
    b"+%x",
    b"-%x",
    b"0x%x",
    b"%xg",
    b"%x\n",
    b"%x;\n",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"",
    b'%x;a="b\r\nc"',
    b"%x\t",
)
BODIES = (b"{}", b"{}" * 50, b"x", b"", b"POST %b HTTP/1.1\r\n\r\n" % PAID, b"y" * 3000)
COLONS = (b":", b":  ", b" : ", b":\t", b"")
FIRST = (b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\x00", b"\x16\x03\x01")
TRAILERS = (b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"bad trailer\r\n")
LAST_SIZES = (b"00", b"000;x", b"", b"-0", b"0x0")


class Odd:
    """A source of such inputs; the same seed, the same inputs."""

    def __init__(self, seed: int | str) -> None:
        self._draw = random.Random(seed)
        self._wild = self._draw.choice((0.05, 0.2, 1.0))  # how often anything is wrong

    def input(self) -> bytes:
        """All that a client sends on one connection."""
        draw = self._draw
        whole = b"".join(self._request() for _ in range(draw.choice((1, 1, 1, 2, 2, 3))))
        if draw.random() < 0.05 * self._wild:
            whole = draw.choice(FIRST) + whole
        if draw.random() < 0.25 * self._wild:
            whole = self._damaged(whole)
        if draw.random() < 0.1 * self._wild:
            whole = whole[: draw.randrange(len(whole) + 1)]
        return whole

    def split(self, whole: bytes) -> list[bytes]:
        """The same bytes in as many pieces as a network may make of them."""
        draw = self._draw
        kind = draw.random()
        if kind < 0.5 or len(whole) < 2:
            return [whole]
        if kind < 0.55 and len(whole) < 1500:
            return [whole[at : at + 1] for at in range(len(whole))]
        cuts = sorted(draw.randrange(1, len(whole)) for _ in range(draw.choice((1, 1, 2, 3, 8))))
        ends = [0, *cuts, len(whole)]
        return [whole[a:b] for a, b in itertools.pairwise(ends)]

    def _one(self, right: T, wrong: Sequence[T], share: float) -> T:
        return self._draw.choice(wrong) if self._draw.random() < share * self._wild else right

    def _request(self) -> bytes:
        draw = self._draw
        body = draw.choice(
            (
                b"{}",
                b"{}" * 50,
                b"x",
                b"",
                b"POST /webhooks/orders/paid HTTP/1.1\r\n\r\n",
                b"y" * 3000,
            )
        )
        line = b" ".join(
            (
                self._one(b"POST", METHODS, 0.06),
                self._one(PAID, TARGETS, 0.06),
                self._one(b"HTTP/1.1", VERSIONS, 0.05),
            )
        )
        headers = [
            (b"X-Shopify-Shop-Domain", b"a.myshopify.com"),
            (b"X-Shopify-Webhook-Id", b"%d" % draw.randrange(9)),
        ]
        if draw.random() > 0.04:
            headers.append((b"Host", self._one(b"x", HOSTS, 0.05)))
        chunked = draw.random() < 0.25 * self._wild
        length = self._one(b"%d", LENGTHS, 0.12)
        if not chunked or draw.random() < 0.15:
            headers.append((self._case(b"Content-Length"), _filled(length, len(body))))
        if chunked:
            headers.append((self._case(b"Transfer-Encoding"), self._one(b"chunked", CODINGS, 0.3)))
            body = self._chunks(body)
        more = (
            (b"Connection", CONNECTIONS, 0.15), (b"Expect", EXPECTS, 0.06),
            (b"Upgrade", UPGRADES, 0.05),
        )  # fmt: skip
        for name, values, share in more:
            if draw.random() < share * self._wild:
                headers.append((name, draw.choice(values)))
        for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
            headers.append((self._one(b"X-A", NAMES, 0.7), self._one(b"b", VALUES, 0.5)))
        if draw.random() < 0.08 * self._wild:
            headers.append(draw.choice(headers))
        if draw.random() < 0.02:
            headers += [(b"X-%d" % n, b"y") for n in range(draw.choice((90, 120, 140)))]
        draw.shuffle(headers)
        lines = [
            line,
            *(
                name + self._one(b": ", (b":", b":  ", b" : ", b":\t", b""), 0.08) + value
                for name, value in headers
            ),
        ]
        return b"".join(one + self._one(b"\r\n", ENDS, 0.01) for one in (*lines, b"")) + body

    def _case(self, name: bytes) -> bytes:
        return self._one(name, (name.lower(), name.upper(), name.swapcase()), 0.2)

    def _chunks(self, body: bytes) -> bytes:
        draw, made = self._draw, b""
        while body:
            size = draw.randrange(1, len(body) + 1)
            part, body = body[:size], body[size:]
            made += _filled(self._one(b"%x", SIZES, 0.06), len(part)) + self._one(
                b"\r\n", ENDS, 0.03
            )
            made += part + self._one(b"\r\n", (*ENDS, b"xx"), 0.03)
        trailers = self._one(
            b"", (b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"bad trailer\r\n"), 0.08
        )
        return (
            made
            + self._one(b"0", (b"00", b"000;x", b"", b"-0", b"0x0"), 0.06)
            + b"\r\n"
            + trailers
            + b"\r\n"
        )

    def _damaged(self, whole: bytes) -> bytes:
        draw, made = self._draw, bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 4))):
            if not made:
                break
            at = draw.randrange(len(made))
            match draw.randrange(4):
                case 0:
                    made[at] = draw.randrange(256)
                case 1:
                    made.insert(at, draw.choice(b"\r\n \t\x00:;,0x\xff"))
                case 2:
                    del made[at]
                case 3:
                    to = min(len(made), at + draw.randrange(1, 20))
                    made[at:at] = made[at:to]
        return bytes(made)


def _filled(template: bytes, number: int) -> bytes:
    """The number in all its places."""
    places = template.count(b"%d") + template.count(b"%x") + template.count(b"%X")
    return template % ((number,) * places) if places else template
