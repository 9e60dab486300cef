"""What a connection's names stand for: prepared statements and portals, read from its messages.

The types of parameters come from Parse or, where the driver leaves them to the server, from the
ParameterDescription that answers its Describe. A message that cannot be read passes unread: the
server is the one who complains. Of a flight of very many statements the values are kept of the
first `FLIGHT_MAX`, and the first `KEYS_MAX` ids.
"""

import contextlib
import struct
from collections import deque
from dataclasses import dataclass

from cluster.wire import protocol
from cluster.wire.flight import Flight
from cluster.wire.redaction import redact_sql, redact_value

NAMES_MAX = 10_000
FLIGHT_MAX = 1_000  # statements of one flight whose values are kept
KEYS_MAX = 10_000  # ids of one flight


@dataclass(slots=True)
class Prepared:
    """A prepared statement."""

    sql: str
    keys: tuple[str, ...] = ()
    types: tuple[int, ...] = ()


@dataclass(slots=True)
class Portal:
    """A prepared statement with its values; they are read and redacted when somebody asks."""

    sql: str
    _keys: tuple[str, ...] = ()  # of the statement alone while the Bind is unread
    _values: tuple[str, ...] = ()
    _types: tuple[int, ...] = ()
    _bind: bytes | None = None
    _values_at: int = 0  # where they begin in it

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids in its text and its values."""
        if self._bind is not None:
            self._read()
        return self._keys

    @property
    def values(self) -> tuple[str, ...]:
        """Its values, redacted."""
        if self._bind is not None:
            self._read()
        return self._values

    def _read(self) -> None:
        bind, self._bind = self._bind, None
        assert bind is not None
        with contextlib.suppress(ValueError, struct.error, IndexError):
            given = protocol.read_values(bind, self._values_at)
            self._keys, self._values = shown(given, self._keys, self._types)


class Statements:
    """Turns the messages of one connection into the SQL, values and keys of its flights."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._portals: dict[str, Portal] = {}
        # Statements whose Describe is unanswered; None stands for a Sync: an error before it
        # leaves all that come before it unanswered.
        self._described: deque[Prepared | None] = deque()
        self._loose = False  # a backslash in any literal may be an escape: see redaction

    def read(self, flight: Flight, messages: list[protocol.Message]) -> list[tuple[int, str]]:
        """Add to a flight what its messages execute; (index in `messages`, SQL) of each."""
        executed: list[tuple[int, str]] = []
        for index, (kind, content) in enumerate(messages):
            try:
                portal = self._read(kind, content)
            except (ValueError, struct.error, IndexError):
                continue
            if portal is not None:
                flight.simple = kind == ord("Q")
                flight.sql.append(portal.sql)
                if len(flight.keys) < KEYS_MAX:
                    flight.keys.extend(portal.keys)
                flight.parameters.append(portal.values if len(flight.sql) <= FLIGHT_MAX else ())
                executed.append((index, portal.sql))
        return executed

    def bound(self, flight: Flight, data: bytes) -> str:
        """The same for a flight that is one Bind, its Execute and Sync; returns the SQL.

        Its values wait until somebody asks: at the latest until it is traced.
        """
        self._described.append(None)
        name_ends = data.index(b"\0", 6)
        prepared = self._named(data[6:name_ends].decode(errors="replace"))
        portal = Portal(prepared.sql, prepared.keys, (), prepared.types, data, name_ends + 1)
        self._portals[""] = flight.portal = portal
        flight.simple = False
        flight.sql.append(prepared.sql)
        return prepared.sql

    def parameter_types(self, payload: bytes) -> None:
        """The server's ParameterDescription: it answers the oldest Describe."""
        if self._described and (prepared := self._described.popleft()) is not None:
            prepared.types = protocol.read_types(payload)

    def session_parameter(self, payload: bytes) -> None:
        """The server's ParameterStatus; from the first word that it may be so, it stays so."""
        name, at = protocol.cstring(payload, 0)
        if name == "standard_conforming_strings" and payload[at:].rstrip(b"\0") != b"on":
            self._loose = True

    def ready(self) -> None:
        """The server's ReadyForQuery: nothing before its Sync will be answered any more."""
        while self._described and self._described.popleft() is not None:
            pass

    def _read(self, kind: int, content: bytes) -> Portal | None:
        """What a message executes, if it does."""
        match chr(kind):
            case "Q":
                self._described.append(None)
                sql, keys = redact_sql(protocol.cstring(content, 5)[0], loose=self._loose)
                return Portal(sql, keys)
            case "S" | "F":
                self._described.append(None)
            case "P":
                name, sql, types = protocol.read_parse(content)
                _bound(self._prepared)
                self._prepared[name] = Prepared(*redact_sql(sql, loose=self._loose), types)
            case "D" if content[5:6] == b"S":
                self._described.append(self._named(protocol.cstring(content, 6)[0]))
            case "B":
                self._bind(content)
            case "C":
                names = self._prepared if content[5:6] == b"S" else self._portals
                names.pop(protocol.cstring(content, 6)[0], None)
            case "E":
                return self._portals.get(protocol.cstring(content, 5)[0]) or Portal("?")
        return None

    def _bind(self, content: bytes) -> None:
        portal, name, given = protocol.read_bind(content)
        prepared = self._named(name)
        keys, values = shown(given, prepared.keys, prepared.types)
        _bound(self._portals)
        self._portals[portal] = Portal(prepared.sql, keys, values)

    def _named(self, name: str) -> Prepared:
        return self._prepared.get(name) or Prepared("?")


def shown(
    values: list[tuple[int, bytes | None]], keys: tuple[str, ...], types: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of a statement and of a Bind's values, and the values as they may be stored."""
    found = [
        redact_value(shape, value, types[index] if index < len(types) else 0)
        for index, (shape, value) in enumerate(values)
    ]
    more = [key for _, own in found for key in own]
    return (*keys, *more), tuple([text for text, _ in found])


def _bound(names: dict[str, Prepared] | dict[str, Portal]) -> None:
    """Forget the oldest name when there are too many."""
    if len(names) >= NAMES_MAX:
        names.pop(next(iter(names)))
