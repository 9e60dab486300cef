"""A database that is not ours: what its URL must say, and the marker that permits its use.

A run creates a database on the user's server, loads it, ends sessions, and drops it again. Nothing
about a host's name tells production from a play-ground, so the database that the URL names must
say itself that this is meant: by a table with one row, which only a person creates. The row names
its database, so that a copy of the marker (from a template or a dump) permits nothing.

The URL must name host and database itself. Drivers fill what it lacks from their own variables and
files, and some let `?host=` overrule what stands before: the marker would be looked up in one
place and the run made in another. Limits: a name may lead to several servers, and a pooler is not
told from a server.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import asyncpg

from results.errors import ClusterError, ConfigError

MARKER_SQL = "CREATE TABLE public.onceproof_allowed AS SELECT current_database() AS database;"
_SCHEMES = ("postgresql", "postgres")
_PORT = 5432
# What of a connection must not stand behind `?`, in the words of libpq and of other drivers.
_IDENTITY = {"host", "hostaddr", "port", "dbname", "database", "user", "username", "password"}
_IDENTITY |= {"passfile", "service", "servicefile", "target_session_attrs"}


@dataclass(frozen=True, slots=True)
class ForeignUrl:
    """A URL that names one database on one server; ConfigError for one that may mean others."""

    dsn: str = field(repr=False)  # host, port and database stand in it; may hold a password
    described: str  # the same without user, password and query

    @classmethod
    def read(cls, given: str) -> "ForeignUrl":
        """Check it; no message repeats what was given, since any part may be of the password."""
        try:
            parts = urlsplit(given)
            behind = f"{parts.path}{parts.query}{parts.fragment}"
            if parts.netloc.count("@") > 1 or "@" in behind or parts.fragment:
                raise _unusable("a user or password has one of @ / ? #, which must be %-encoded")
            host, port = parts.hostname, parts.port or _PORT
        except ValueError:
            raise _unusable("its host or its port cannot be read") from None
        database = unquote(parts.path.removeprefix("/"))
        names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if parts.scheme not in _SCHEMES:
            raise _unusable("it does not begin with postgresql://")
        if not host or "," in host or "%" in host:
            raise _unusable("it must name one host")
        if not database:
            raise _unusable("it must name a database")
        if names & _IDENTITY:
            raise _unusable(f"{', '.join(sorted(names & _IDENTITY))} must not stand behind the ?")
        login, at, _ = parts.netloc.rpartition("@")
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(
            dsn=urlunsplit(parts._replace(netloc=f"{login}{at}{place}")),
            described=f"{place}/{database}",
        )


def has_password(url: str) -> bool:
    """Whether a URL carries a password, as far as it can be read; a doubtful one counts."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    behind = f"{parts.path}{parts.query}{parts.fragment}"
    return parts.password is not None or "password=" in parts.query or "@" in behind


def passwords(url: str) -> tuple[str, ...]:
    """The password of a URL, as it stands there and as it is meant."""
    try:
        written = urlsplit(url).password
    except ValueError:
        return ()
    return (written, unquote(written)) if written else ()


async def allowed(given: str) -> ForeignUrl:
    """The database of a URL, if it permits its use; ConfigError or ClusterError if not."""
    url = ForeignUrl.read(given)
    try:
        connection = await asyncpg.connect(url.dsn, timeout=5, command_timeout=20)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise ClusterError(
            f"The database {url.described} refuses: {error}. Check that it runs, and that the "
            "URL's host, port, user, password and database are right."
        ) from None
    try:
        await require_marker(connection, url.described)
    finally:
        await connection.close(timeout=5)
    return url


async def require_marker(connection: "asyncpg.Connection[Any]", described: str) -> None:
    """ConfigError, with the SQL to run, unless the connection's database permits its use."""
    name = await connection.fetchval("SELECT current_database()")
    try:
        found = await connection.fetch(
            "SELECT database::text FROM public.onceproof_allowed LIMIT 2"
        )
    except asyncpg.InsufficientPrivilegeError:
        role = await connection.fetchval("SELECT quote_ident(current_user)")
        raise ConfigError(
            f"The role of the URL may not read the marker in {described}. Run this there as its "
            f"owner, then run again:\n    GRANT SELECT ON public.onceproof_allowed TO {role};"
        ) from None
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        found = []
    if [row["database"] for row in found] != [name]:
        raise ConfigError(
            f"The database {described} does not say that onceproof may use it. onceproof would "
            "create a database named onceproof_… on that server, load it with the service's "
            "schema and the run's orders, end sessions of it, hold its locks, and drop it again "
            "with whoever is connected to it. If that is meant, run this in "
            f"{described}, then run again:\n    {MARKER_SQL}"
        )


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"The database's URL cannot be used: {why}. Give it as "
        "postgresql://user:password@host:5432/database."
    )
