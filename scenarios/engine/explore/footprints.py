"""What each held flight touches, given what the database and its transaction are known to be."""

from typing import Any

import asyncpg

from cluster.wire.embedded import EmbeddedWire
from cluster.wire.rules import Park
from scenarios.engine.explore.footprint import Footprint, Schema, footprint

TABLES = """
    SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relhasrules
       AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
       AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal)
       AND NOT relrowsecurity
"""
TIED = """
    SELECT child.relname AS child, parent.relname AS parent FROM pg_constraint
      JOIN pg_class AS child ON child.oid = conrelid
      JOIN pg_class AS parent ON parent.oid = confrelid WHERE contype = 'f'
    UNION ALL
    SELECT child.relname, parent.relname FROM pg_inherits
      JOIN pg_class AS child ON child.oid = inhrelid
      JOIN pg_class AS parent ON parent.oid = inhparent
"""


class Footprints:
    """The footprint of whatever is held at the wire."""

    def __init__(self, wire: EmbeddedWire, schema: Schema) -> None:
        self._wire = wire
        self._schema = schema

    @classmethod
    async def of_database(
        cls, wire: EmbeddedWire, connection: "asyncpg.Connection[Any]"
    ) -> "Footprints":
        """Read the tables and what ties them."""
        plain = frozenset(row["relname"].lower() for row in await connection.fetch(TABLES))
        ties = {
            pair
            for row in await connection.fetch(TIED)
            for pair in (
                (row["child"].lower(), row["parent"].lower()),
                (row["parent"].lower(), row["child"].lower()),
            )
        }
        return cls(wire, Schema(plain, frozenset(ties)))

    def of(self, park: Park) -> Footprint:
        """What the held flight would touch."""
        flight = self._wire.flight(park)
        return footprint(
            park.sql,
            publishes=flight is None or flight.may_commit,
            wrote=flight is None or flight.wrote_before,
            read_committed=self._wire.read_committed(park),
            schema=self._schema,
        )
