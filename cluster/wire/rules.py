"""What to hold (`Rule`), what was held (`Park`), and what is open (`WireState`): plain data."""

from typing import Literal

from msgspec import Struct

Point = Literal["before", "before-commit", "reply"]
Action = Literal["pass", "drop", "hold-reply"]
Side = Literal["client", "server", "both"]


class Rule(Struct, frozen=True, kw_only=True):
    """Hold the next `times` flights that match.

    `before` holds any step ahead of the server; `before-commit` an explicit COMMIT, or the Sync of
    a writing statement outside a transaction block; `reply` the server's answer to such a flight
    (to any matching one when `sql` is given).

    A hold at `before-commit` that is released with `hold-reply` goes on, under its own id, as a
    hold of the answer to that commit; so the transaction can be looked at while it is open.
    """

    rule_id: str
    point: Point
    replicas: tuple[str, ...] = ()  # () for all
    times: int = 1
    lease_seconds: float = 3.0
    sql: str | None = None  # a regular expression on the statement's text
    key: str | None = None  # an id that the flight or its transaction must carry
    occurrence: int = 1  # the n-th match is held
    step: int | None = None  # only the n-th step of its transaction


class Park(Struct, frozen=True, kw_only=True):
    """A flight that is held now."""

    hold_id: str
    rule_id: str
    replica: str
    connection: int
    backend_pid: int
    point: Point
    parked_ns: int
    sql: tuple[str, ...]
    keys: tuple[str, ...]
    others_in_flight: int


class OpenConnection(Struct, frozen=True, kw_only=True):
    """One connection through the wire."""

    replica: str
    connection: int
    backend_pid: int
    state: str  # I, T or E
    in_flight: bool
    keys: tuple[str, ...]  # a few of them


class ClientEnd(Struct, frozen=True, kw_only=True):
    """The end of a connection's client side, and what its session was in at that moment."""

    at_ns: int
    state: str  # I, T or E
    wrote: bool  # its open transaction had written rows, and nobody had asked for its end

    @property
    def in_written_transaction(self) -> bool:
        """True when an unfinished transaction with writes ended with it."""
        return self.state in ("T", "E") and self.wrote


class WireState(Struct, frozen=True, kw_only=True):
    """Everything that is open through the wire."""

    connections: tuple[OpenConnection, ...]
