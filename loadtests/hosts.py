"""Whom the swarm may send to: this machine, and hosts that were named when Locust was started.

A swarm is an attack on whoever it is aimed at, and one wrong letter aims it at somebody else. So a
host must be the loopback or stand, letter by letter, in `--allow-host`: no suffixes, no patterns,
no private networks (they hold production, too). What is compared is what the client connects to:
its own parser reads the URL. A dot at the end makes another name, for a resolver as for us.

Limits: a name is trusted to lead where its owner says; `localhost` is what the machine says it is.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from geventhttpclient.url import URL


def read_hosts(given: str) -> frozenset[str]:
    """The host names of `--allow-host`; ValueError for what is no bare name or address."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if _address(name) is None and not set(name).isdisjoint("/:@*?#[] "):
            raise ValueError(
                f"--allow-host: expected host names with commas, as in staging.example.com, "
                f"not {name!r}"
            )
    return frozenset(map(_canonical, names))


def require_allowed(urls: Iterable[str], allowed: frozenset[str]) -> None:
    """ValueError, with what to do, unless each URL leads to this machine or to a named host."""
    for url in urls:
        try:
            parsed = URL(url)
            host, _ = parsed.hostname, parsed.port
        except ValueError:
            host = ""
        if not host:
            raise ValueError("--targets or --host: expected http://host:port")
        if "@" in parsed.netloc:
            raise ValueError("--targets or --host: expected no user and no password in the URL")
        if not _is_loopback(host) and _canonical(host) not in allowed:
            raise ValueError(
                f"the host {host} is not this machine. If you may load it, start Locust with "
                f"--allow-host {host}"
            )


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return host == "localhost" if address is None else address.is_loopback


def _canonical(host: str) -> str:
    """One spelling for each address; names are the same in upper and lower case."""
    address = _address(host)
    return host.lower() if address is None else str(address)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
