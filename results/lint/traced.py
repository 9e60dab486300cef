"""What lint judges: deliveries that were traced one after the other, and the catalogue's facts.

Nothing runs at the same time as anything else, so each record belongs to one delivery for certain.
What only shows under concurrency (two deliveries that share a connection) is not in here.
"""

from typing import Literal

from msgspec import Struct

from results.records import StatementTrace

Copy = Literal["first", "same", "distinct"]
Row = Literal["present", "absent"]
PLAIN = "read committed"


class Attempt(Struct, frozen=True, kw_only=True):
    """One delivery: what it said to Postgres and to the provider, and how it was answered."""

    copy: Copy  # the first one; a duplicate with its webhook id; one with another id
    order_id: int
    webhook_id: str
    statements: tuple[StatementTrace, ...]
    calls_ns: tuple[int, ...] = ()  # when it called the provider
    status: int | None = 200
    answered_ns: int | None = None
    isolation: str = PLAIN  # of transactions that name no level

    @property
    def acknowledged(self) -> bool:
        """The sender takes it for done."""
        return self.status is not None and 200 <= self.status < 300


class Unique(Struct, frozen=True):
    """A unique index over whole columns and all rows."""

    table: str
    columns: frozenset[str]


class Catalogue(Struct, frozen=True, kw_only=True):
    """What the database says of itself."""

    unique: tuple[Unique, ...] = ()
    parents: tuple[tuple[str, str], ...] = ()  # child table, parent table
    scanned: frozenset[str] = frozenset()  # reads for which Postgres knows no index

    def is_unique(self, table: str, columns: frozenset[str]) -> bool:
        """Whether at most one row of this table can have given values in these columns."""
        return any(one.table == table and one.columns <= columns for one in self.unique)

    def same(self, read: str, written: str) -> bool:
        """Whether a read of one table sees what is written to the other."""
        return read == written or (written, read) in self.parents


class Traced(Struct, frozen=True, kw_only=True):
    """One order: its first delivery, a duplicate, and one under another webhook id."""

    row: Row  # whether the order had a row before
    first: Attempt
    same: Attempt
    distinct: Attempt
    catalogue: Catalogue = Catalogue()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """In the order in which they came."""
        return self.first, self.same, self.distinct
