"""The wire's own login at the database, with the URL that it was given.

Over forced TLS a service that speaks plain text to the wire cannot log in by itself: what it would
prove to the server is bound to a connection that it does not have, and md5 takes the server's own
salt. So the wire logs in as any client does (SCRAM-SHA-256 and, where nothing else is on offer,
SCRAM-SHA-256-PLUS; md5; a password in the clear over TLS alone), and asks the service for the same
password by SCRAM-SHA-256. A port on loopback must not be a way around a password.

Limits: one user, that of the URL. GSS, SSPI and client certificates are refused by name.
"""

import asyncio
import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

import scramp

from cluster.wire.protocol import ProtocolError, cstring, error_response, startup_parameters
from cluster.wire.scram import Challenge, NotProvedError
from cluster.wire.tap import Streams

MESSAGE_MAX_BYTES = 1 << 16
MESSAGES_MAX = 20  # of a login
OK, CLEAR, MD5, GSS, GSS_CONTINUE, SSPI, SASL, CONTINUE, FINAL = 0, 3, 5, 7, 8, 9, 10, 11, 12
REFUSED = {
    2: "Kerberos V5", 6: "SCM credentials", GSS: "GSS", GSS_CONTINUE: "GSS", SSPI: "SSPI",
}  # fmt: skip
SCRAM = "SCRAM-SHA-256"
PLUS = f"{SCRAM}-PLUS"
WRONG_PASSWORD, WRONG_PROTOCOL, NOT_SUPPORTED = "28P01", "08P01", "0A000"


class LoginError(Exception):
    """There is no login; what the client is told, as the server would tell it."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("the login failed")
        self.answer = answer  # a whole ErrorResponse


def refusal(code: str, text: str) -> LoginError:
    """One of the wire's own."""
    return LoginError(error_response(code, f"onceproof wire: {text}"))


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password, which the service must know too."""

    user: str
    password: str = field(repr=False)
    _known: tuple[bytes, bytes, bytes, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mechanism = scramp.ScramMechanism(SCRAM)
        known = mechanism.make_auth_info(self.password, salt=secrets.token_bytes(16))
        object.__setattr__(self, "_known", known)

    async def admit(self, client: Streams, startup: bytes) -> None:
        """Let a client prove that it knows the password; LoginError if it does not.

        A URL without a password is one for a server that asks nobody: then nobody is asked here.
        """
        user = startup_parameters(startup).get("user", "")
        if user != self.user:
            raise refusal(
                WRONG_PASSWORD,
                f"the user {user!r} is not that of the database URL that onceproof was given "
                f"({self.user!r}): the wire logs in as that one alone",
            )
        if not self.password:
            return
        reader, writer = client
        challenge = Challenge(*self._known)
        writer.write(authentication(SASL, f"{SCRAM}\0\0".encode()))
        initial = await read_password(reader)
        try:
            mechanism, at = cstring(initial, 0)
            if mechanism != SCRAM:
                raise refusal(WRONG_PROTOCOL, f"{mechanism!r} was not on offer")
            ours = challenge.first(initial[at + 4 :].decode())
            writer.write(authentication(CONTINUE, ours.encode()))
            ours = challenge.final((await read_password(reader)).decode())
            writer.write(authentication(FINAL, ours.encode()))
        except (NotProvedError, ValueError):
            raise refusal(
                WRONG_PASSWORD,
                f"password authentication failed for user {user!r}: the service must use the "
                "password of the URL that it is told",
            ) from None

    async def enter(self, server: Streams, startup: bytes) -> bytes:
        """Log in; returns what the client is to be told, the server's "ok" at its end."""
        reader, writer = server
        writer.write(startup)
        said, exchange = b"", Exchange(self, writer)
        for _ in range(MESSAGES_MAX):
            kind, payload, whole = await read_message(reader)
            if kind == b"E":
                raise LoginError(whole)
            if kind in (b"v", b"N"):
                said += whole
            elif kind != b"R":
                raise refusal(WRONG_PROTOCOL, f"the database answers a login with {kind!r}")
            elif exchange.answer(payload):
                return said + whole
        raise refusal(WRONG_PROTOCOL, "the database asks too often")


class Exchange:
    """The answers to what the server asks for."""

    def __init__(self, login: Login, writer: asyncio.StreamWriter) -> None:
        self._login = login
        self._writer = writer
        self._scram: Any = None

    def answer(self, payload: bytes) -> bool:
        """Answer one request for authentication; True when the server is content."""
        (code,) = struct.unpack_from("!I", payload)
        rest, login = payload[4:], self._login
        if code == OK:
            return True
        if code in REFUSED:
            raise refusal(
                NOT_SUPPORTED,
                f"the database wants {REFUSED[code]}, which onceproof does not speak. Give it a "
                "role that logs in by password",
            )
        if code == CLEAR:
            if self._writer.get_extra_info("ssl_object") is None:
                raise refusal(NOT_SUPPORTED, "the database wants the password in the clear, "
                              "without TLS: say sslmode=require in the URL")  # fmt: skip
            self._say(login.password.encode() + b"\0")
        elif code == MD5:
            self._say(md5(login, rest[:4]) + b"\0")
        elif code == SASL:
            self._begin([name.decode() for name in rest.split(b"\0") if name])
        else:
            self._go_on(code, rest.decode(errors="replace"))
        return False

    def _begin(self, offered: list[str]) -> None:
        binding = None
        tls = self._writer.get_extra_info("ssl_object")
        if SCRAM in offered:
            offered = [SCRAM]
        elif PLUS in offered and tls is not None:
            offered = [PLUS]
            binding = ("tls-server-end-point", tls)
        else:
            raise refusal(NOT_SUPPORTED, f"the database offers {', '.join(offered)} only")
        self._scram = scramp.ScramClient(
            offered, self._login.user, self._login.password, channel_binding=binding
        )
        first = self._scram.get_client_first().encode()
        self._say(offered[0].encode() + b"\0" + struct.pack("!I", len(first)) + first)

    def _go_on(self, code: int, text: str) -> None:
        try:
            if code == CONTINUE and self._scram is not None:
                self._scram.set_server_first(text)
                self._say(self._scram.get_client_final().encode())
            elif code == FINAL and self._scram is not None:
                self._scram.set_server_final(text)
            else:
                raise refusal(NOT_SUPPORTED, f"the database wants the authentication {code}")
        except scramp.ScramException as error:
            raise refusal(WRONG_PASSWORD, f"the database does not prove itself: {error}") from None

    def _say(self, content: bytes) -> None:
        self._writer.write(b"p" + struct.pack("!I", len(content) + 4) + content)


def md5(login: Login, salt: bytes) -> bytes:
    """Postgres' md5 answer: the hash of a hash, with the server's salt."""
    inner = hashlib.md5((login.password + login.user).encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


def authentication(code: int, content: bytes) -> bytes:
    """A server's request for, or confirmation of, a login."""
    return b"R" + struct.pack("!II", len(content) + 8, code) + content


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """Type, payload and the whole of one message, which is short during a login."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!I", head[1:])
    if not 4 <= length <= MESSAGE_MAX_BYTES:
        raise ProtocolError(f"a message of {length} bytes during a login")
    payload = await reader.readexactly(length - 4)
    return head[:1], payload, head + payload


async def read_password(reader: asyncio.StreamReader) -> bytes:
    """What a client says when it is asked to prove itself."""
    kind, payload, _ = await read_message(reader)
    if kind != b"p":
        raise ProtocolError(f"expected a password message, got {kind!r}")
    return payload
