"""What each held flight touches, given what the database and its transaction are known to be.

The text of a COMMIT says nothing of what it frees: what each open transaction has locked so far is
kept here, and so is who has ever taken an advisory lock, which may outlive a transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import asyncpg

from cluster.wire.embedded import EmbeddedWire
from cluster.wire.flight import Flight
from cluster.wire.rules import Park
from scenarios.engine.explore.footprint import (
    ADVISORY_LOCKS,
    ADVISORY_SESSION,
    ANY,
    EVERYTHING,
    Footprint,
    Schema,
    footprint,
)

# Every relation, and whether it does what a statement says and no more.
TABLES = """
    SELECT relname AS name, relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity
       AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal)
       AS plain FROM pg_class
     WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
       AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""
# `follows`: what is done to the parent may be done to the child as well.
TIED = """
    SELECT child.relname AS child, parent.relname AS parent,
           confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd') AS follows
      FROM pg_constraint
      JOIN pg_class AS child ON child.oid = conrelid
      JOIN pg_class AS parent ON parent.oid = confrelid WHERE contype = 'f'
    UNION ALL
    SELECT child.relname, parent.relname, true FROM pg_inherits
      JOIN pg_class AS child ON child.oid = inhrelid
      JOIN pg_class AS parent ON parent.oid = inhparent
"""
# A role or a database may have another isolation level from the start.
HIGHER_FROM_THE_START = """
    SELECT current_setting('default_transaction_isolation') <> 'read committed'
        OR EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text ~ 'transaction_isolation')
"""


def schema_of(tables: Iterable[Mapping[str, Any]], tied: Iterable[Mapping[str, Any]]) -> Schema:
    """What ties the tables, and which of them are plain: all that follow them are as well."""
    rows = [(row["name"].lower(), bool(row["plain"])) for row in tables]
    strange = {name for name, plain in rows if not plain}
    edges = {(row["parent"].lower(), row["child"].lower(), row["follows"]) for row in tied}
    ties = {pair for parent, child, _ in edges for pair in ((parent, child), (child, parent))}
    for name in {parent for parent, _, _ in edges}:
        reached, new = {name}, {name}
        while new:
            new = {child for parent, child, follows in edges if follows and parent in new} - reached
            reached |= new
        if reached & strange:
            strange.add(name)
        ties |= {(name, other) for one, other in [*ties] if one in reached}
    return Schema(frozenset({name for name, _ in rows} - strange), frozenset(strange),
                  frozenset(ties))  # fmt: skip


class Footprints:
    """The footprint of whatever is held at the wire."""

    def __init__(self, wire: EmbeddedWire, schema: Schema, *, read_committed: bool = True) -> None:
        self._wire = wire
        self._schema = schema
        self._read_committed = read_committed
        self._held: dict[tuple[str, int], frozenset[str]] = {}  # by open transaction
        self._advisory: set[tuple[str, int]] = set()  # sessions that took such a lock

    @classmethod
    async def of_database(
        cls, wire: EmbeddedWire, connection: "asyncpg.Connection[Any]"
    ) -> "Footprints":
        """Read the tables, what ties them, and the isolation level that sessions begin with."""
        schema = schema_of(await connection.fetch(TABLES), await connection.fetch(TIED))
        higher = await connection.fetchval(HIGHER_FROM_THE_START)
        return cls(wire, schema, read_committed=not higher)

    def of(self, park: Park) -> Footprint:
        """What the held flight would touch; its transaction is taken to have done so from now."""
        flight = self._wire.flight(park)
        if flight is None:
            return EVERYTHING
        read_committed = self._read_committed and self._wire.read_committed(park)
        return self.of_flight((park.replica, park.connection), flight, read_committed)

    def of_flight(
        self, session: tuple[str, int], flight: Flight, read_committed: bool
    ) -> Footprint:
        """The same of any flight of a session; each must be told, in its order."""
        held = frozenset() if flight.step == 1 else self._held.get(session, frozenset())
        if flight.wrote_before and not held:
            held = frozenset({ANY})
        if any(map(ADVISORY_SESSION.search, flight.sql)):
            self._advisory.add(session)
        found = footprint(
            tuple(flight.sql), publishes=flight.may_commit, held=held,
            read_committed=read_committed, schema=self._schema,
        )  # fmt: skip
        if session in self._advisory and not found.everything:
            found = replace(
                found, writes=found.writes | {ADVISORY_LOCKS}, ends=found.ends | {ADVISORY_LOCKS}
            )
        self._held[session] = held | ({ANY} if found.everything else found.writes)
        return found

    def held_by(self, replica: str) -> frozenset[str]:
        """What the transactions of a replica have written or locked, those that are over too."""
        return frozenset().union(*(held for (one, _), held in self._held.items() if one == replica))

    def held(self, session: tuple[str, int]) -> frozenset[str]:
        """What a session's transaction has written or locked: freed at once when it fails."""
        return self._held.get(session, frozenset())
