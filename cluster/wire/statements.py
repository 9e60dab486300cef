"""What a connection's names stand for: prepared statements and portals, read from its messages."""

from cluster.wire import protocol
from cluster.wire.flight import Flight
from cluster.wire.redaction import redact_sql, redact_value

NAMES_MAX = 10_000
Portal = tuple[str, tuple[str, ...], tuple[str, ...]]  # SQL, redacted values, keys


class Statements:
    """Turns the messages of one connection into the SQL, values and keys of its flights."""

    def __init__(self) -> None:
        self._prepared: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._portals: dict[str, Portal] = {}

    def read(self, flight: Flight, messages: list[tuple[int, bytes]]) -> None:
        """Add to a flight what its messages execute."""
        for kind, content in messages:
            match chr(kind):
                case "Q":
                    flight.simple = True
                    self._execute(flight, (*redact_sql(protocol.cstring(content, 5)[0]), ()))
                case "P":
                    name, sql = protocol.read_parse(content)
                    self._bound(self._prepared)
                    self._prepared[name] = redact_sql(sql)
                case "B":
                    portal, name, values = protocol.read_bind(content)
                    sql, keys = self._prepared.get(name, ("?", ()))
                    shown = [redact_value(shape, value) for shape, value in values]
                    self._bound(self._portals)
                    self._portals[portal] = (
                        sql,
                        tuple(text for text, _ in shown),
                        keys + tuple(key for _, found in shown for key in found),
                    )
                case "E":
                    portal, _ = protocol.cstring(content, 5)
                    sql, values_shown, keys = self._portals.get(portal, ("?", (), ()))
                    self._execute(flight, (sql, keys, values_shown))

    def _execute(
        self, flight: Flight, statement: tuple[str, tuple[str, ...], tuple[str, ...]]
    ) -> None:
        sql, keys, values = statement
        flight.sql.append(sql)
        flight.keys.extend(keys)
        flight.parameters.append(values)

    def _bound(self, names: dict[str, Portal] | dict[str, tuple[str, tuple[str, ...]]]) -> None:
        if len(names) >= NAMES_MAX:
            names.pop(next(iter(names)))
