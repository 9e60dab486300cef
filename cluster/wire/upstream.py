"""The way from the wire to Postgres: a socket of this machine, TCP, or TLS where that is asked for.

The wire must read what it passes on, so a service speaks plain text to it; a managed Postgres
takes nobody without TLS. With `tls` the connection begins as every client's does: SSLRequest, the
server's S, the handshake. Without a CA's file that is libpq's `sslmode=require`, which hides what
is said and does not prove who listens; with one it is `verify-full`.

Told by a URL (`read`), the wire logs in by itself (`wire.login`); told by an address, it lets the
service do that. Then what a server offers over TLS alone, SCRAM-SHA-256-PLUS, is left out of its
list: the service has no TLS, libpq takes the offer for an attack, and both do SCRAM-SHA-256. A
server that insists on the other one needs the URL.

Limits: no client certificates; no direct TLS, which every server with TLS does without.
"""

import asyncio
import contextlib
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cluster.wire.login import Login
from cluster.wire.protocol import SSL_REQUEST
from cluster.wire.tap import READ_LIMIT_BYTES, Streams, Tap, connect, connect_unix

ASK_FOR_TLS = struct.pack("!II", 8, SSL_REQUEST)
OFFER = struct.Struct("!cII")  # R, length, code
AUTHENTICATION, SASL = b"R", 10
BOUND = b"SCRAM-SHA-256-PLUS\0"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
CERTIFICATES = {"sslcert", "sslkey", "sslpassword"}
NEGOTIATION = b"v"  # may come before: of the protocol's version


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where Postgres is, and how to speak with it."""

    address: str  # "host:port", or "/folder of its socket:port"
    tls: ssl.SSLContext | None = None
    tls_optional: bool = False  # sslmode=prefer: in the clear where the server has no TLS
    login: Login | None = None  # None: the service logs in, by way of the wire

    @classmethod
    def read(cls, url: str) -> "Upstream":
        """From a database URL; ValueError for one whose way to log in is not spoken here."""
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        for name in CERTIFICATES & given.keys():
            raise ValueError(f"{name}: client certificates are not supported, use a password")
        mode = given.get("sslmode", "prefer")
        if mode not in MODES:
            raise ValueError(f"sslmode={mode}: expected one of {', '.join(MODES)}")
        tls = None if mode == "disable" else context_of(mode, given.get("sslrootcert"))
        return cls(
            address=f"{parts.hostname}:{parts.port or 5432}",
            tls=tls,
            tls_optional=mode in ("allow", "prefer"),
            login=Login(unquote(parts.username or ""), unquote(parts.password or "")),
        )

    async def session(self, client: Streams, startup: bytes) -> Streams:
        """A connection on which the startup message has been said, for this client.

        OSError when there is none to be had, LoginError when a login fails.
        """
        if self.login is None:
            server = await self.connect()
            server[1].write(startup)
            return server
        await self.login.admit(client, startup)
        server = await self.connect()
        try:
            client[1].write(await self.login.enter(server, startup))
        except BaseException:
            server[1].close()
            raise
        return server

    async def connect(self) -> Streams:
        """A connection, ready for the startup message; OSError when there is none to be had."""
        host, _, port = self.address.rpartition(":")
        if host.startswith("/"):
            path = f"{host}/.s.PGSQL.{port}"
            return await connect_unix(path)
        if self.tls is None:
            return await connect(host, int(port))
        try:
            return await _over_tls(host, int(port), self.tls, edited=self.login is None)
        except NoTlsError:
            if not self.tls_optional:
                raise
        return await connect(host, int(port))


class NoTlsError(ConnectionRefusedError):
    """The server has no TLS."""


def context_of(mode: str, authority: str | None) -> ssl.SSLContext:
    """TLS as libpq means it: an authority is believed if it is named, `verify-full` asks for one.

    ValueError for a file that cannot be read.
    """
    if mode not in ("verify-ca", "verify-full") and authority is None:
        return trust(None)
    try:
        context = trust(Path(authority)) if authority not in (None, "system") else system_trust()
    except OSError as error:
        raise ValueError(f"sslrootcert={authority}: cannot be read ({error})") from None
    context.check_hostname = mode == "verify-full" or authority == "system"
    return context


def system_trust() -> ssl.SSLContext:
    """TLS that proves the server by this machine's own authorities."""
    return ssl.create_default_context()


def trust(authority: Path | None) -> ssl.SSLContext:
    """TLS that proves the server by this CA's file, or (None) that proves nothing."""
    if authority is not None:
        return ssl.create_default_context(cafile=str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Asking(asyncio.Protocol):
    """Hears the one byte that answers an SSLRequest."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError("no answer to SSLRequest"))


async def _over_tls(host: str, port: int, context: ssl.SSLContext, *, edited: bool) -> Streams:
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_connection(_Asking, host, port)
    try:
        transport.write(ASK_FOR_TLS)
        # More than the one byte would be somebody's in between, to be taken for the server's.
        if (answer := await asking.answer) != b"S":
            raise NoTlsError(f"the database does not speak TLS: it answers {answer[:1]!r}")
        reader = (_Edited if edited else Tap)(limit=READ_LIMIT_BYTES, loop=loop)
        streams = asyncio.StreamReaderProtocol(reader, loop=loop)
        secured = await loop.start_tls(transport, streams, context, server_hostname=host)
        if secured is None:
            raise ConnectionResetError(f"{host}:{port} ended the TLS handshake")
    except BaseException:
        with contextlib.suppress(RuntimeError):
            transport.abort()
        raise
    streams.connection_made(secured)
    return reader, asyncio.StreamWriter(secured, streams, reader, loop)


class _Edited(Tap):
    """Leaves the offer that only TLS can take out of the server's first words."""

    _opening: bytearray | None = None
    _opened = False

    def feed_data(self, data: Any) -> None:
        if self._opened:
            super().feed_data(data)
            return
        self._opening = (self._opening or bytearray()) + data
        edited = without_binding(bytes(self._opening))
        if edited is not None:
            self._opened, self._opening = True, None
            super().feed_data(edited)

    def feed_eof(self) -> None:
        if not self._opened and self._opening:
            super().feed_data(bytes(self._opening))
        self._opened = True
        super().feed_eof()


def without_binding(words: bytes) -> bytes | None:
    """The server's first words without channel binding on offer; None: more must come first."""
    at = 0
    while len(words) >= at + OFFER.size:
        kind, length, code = OFFER.unpack_from(words, at)
        end = at + 1 + length
        if kind == NEGOTIATION:
            at = end
            continue
        if (kind, code) != (AUTHENTICATION, SASL):
            return words
        if len(words) < end:
            return None
        offers = words[at + OFFER.size : end]
        left = offers.replace(BOUND, b"", 1)
        if left == b"\0":  # nothing else: the client shall say so, in its own words
            return words
        head = OFFER.pack(kind, length - len(offers) + len(left), code)
        return words[:at] + head + left + words[end:]
    return None
