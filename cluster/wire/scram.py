"""The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), as far as Postgres speaks it.

The library has one as well, but it refuses the empty name that every libpq sends there: Postgres
takes the user from the startup message.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

ATTRIBUTES_MAX = 20


class NotProvedError(Exception):
    """The client does not know the password, or does not speak SCRAM."""


@dataclass(slots=True)
class Challenge:
    """One client's proof."""

    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)
    iterations: int
    _header: str = ""
    _said: str = ""  # the client's first words and ours
    _nonce: str = ""

    def first(self, client_first: str) -> str:
        """What to answer to a client's first words; NotProvedError for words that are none."""
        flag, comma, rest = client_first.partition(",")
        authorised, comma_again, bare = rest.partition(",")
        if flag not in ("n", "y") or not comma or not comma_again:
            raise NotProvedError(f"channel binding {flag!r}")
        self._header = f"{flag},{authorised},"
        self._nonce = attributes(bare).get("r", "") + secrets.token_hex(12)
        salt = base64.b64encode(self.salt).decode()
        answer = f"r={self._nonce},s={salt},i={self.iterations}"
        self._said = f"{bare},{answer}"
        return answer

    def final(self, client_final: str) -> str:
        """Our own proof, once the client's is right; NotProvedError if it is not."""
        given = attributes(client_final)
        unproved = client_final.rpartition(",p=")[0]
        bound = base64.b64encode(self._header.encode()).decode()
        said = f"{self._said},{unproved}".encode()
        signature = hmac.digest(self.stored_key, said, hashlib.sha256)
        try:
            proof = base64.b64decode(given.get("p", ""), validate=True)
        except ValueError:
            raise NotProvedError("no base64") from None
        if len(proof) != len(signature):
            raise NotProvedError("a proof of another length")
        key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
        right = hmac.compare_digest(hashlib.sha256(key).digest(), self.stored_key)
        if not right or given.get("r") != self._nonce or given.get("c") != bound:
            raise NotProvedError("a wrong proof")
        ours = hmac.digest(self.server_key, said, hashlib.sha256)
        return f"v={base64.b64encode(ours).decode()}"


def attributes(words: str) -> dict[str, str]:
    """The attributes of a SCRAM message."""
    parts = (one.partition("=") for one in words.split(",", ATTRIBUTES_MAX))
    return {name: value for name, _, value in parts}
