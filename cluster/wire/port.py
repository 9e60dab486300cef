"""A port of the wire: what all connections of one replica share. One replica, one port.

A port that is not `heard` keeps its servers' side open when a client ends: to Postgres the machine
of that replica has lost its power, and nobody said goodbye.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.wire.connection import Connection


@dataclass(slots=True)
class Port:
    """Where one replica reaches its database; its number names the replica for sure."""

    replica: str
    delay_seconds: float = 0.0
    number: int = 0
    connections: "set[Connection]" = field(default_factory=set)
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # cleared: its ends are not told

    def __post_init__(self) -> None:
        self.heard.set()
