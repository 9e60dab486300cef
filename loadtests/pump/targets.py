"""Where requests may go: addresses of a name, and connections that wait for their next request.

Names are looked up before anything is sent and again every ten seconds, in a thread: a lookup can
take seconds, and the loop has none. What was found last is used; a name that leads nowhere sends
nothing. Of several addresses the first one that answers is kept, and the others are tried when it
refuses; a connection that nobody took has carried no request.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtests.pump import frames

if TYPE_CHECKING:
    from loadtests.pump.connection import Connection

LOOK_UP_SECONDS = 10.0
FIRST_LOOK_UP_SECONDS = 5.0
Address = tuple[int, Any]  # family, what connect takes


@dataclass(slots=True)
class Target:
    """One of the places a request may go to."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    addresses: Sequence[Address] = ()
    error: str = "socket.gaierror: not looked up yet"  # why there is no address
    idle: "list[Connection]" = field(default_factory=list)

    @property
    def is_name(self) -> bool:
        """Whether there is something to look up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    def look_up(self) -> None:
        """Find its addresses; keeps the last ones where a lookup fails."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        kept = [one for one in self.addresses[:1] if one in [(f[0], f[4]) for f in found]]
        self.addresses = kept + [one for f in found if (one := (f[0], f[4])) not in kept]

    def prefer(self, address: Address) -> None:
        """This one took a connection: begin with it."""
        if self.addresses and self.addresses[0] != address:
            rest = [one for one in self.addresses if one != address]
            self.addresses = [address, *rest]


def made(given: Sequence[frames.Target]) -> list[Target]:
    """The targets of a run, looked up; names are looked up again as long as the process lives."""
    tls = tls_context() if any(one.tls for one in given) else None
    targets = [Target(one.host, one.port, tls if one.tls else None) for one in given]
    names = [one for one in targets if one.is_name]
    for one in targets:
        if one not in names:
            one.look_up()
    if names:
        looked_up = threading.Event()
        threading.Thread(target=keep_looking_up, args=(names, looked_up), daemon=True).start()
        looked_up.wait(FIRST_LOOK_UP_SECONDS)
    return targets


def keep_looking_up(names: Sequence[Target], looked_up: threading.Event) -> None:
    """For ever."""
    while True:
        for one in names:
            one.look_up()
        looked_up.set()
        threading.Event().wait(LOOK_UP_SECONDS)


def tls_context() -> ssl.SSLContext:
    """Certificates are verified, and so are names; SSL_CERT_FILE adds an authority of one's own."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not any(path and Path(path).exists() for path in (paths.cafile, paths.capath)):
        import certifi  # noqa: PLC0415 - a system without authorities of its own

        context.load_verify_locations(certifi.where())
    return context
