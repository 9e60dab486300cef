"""The files of a run's columns, in `columns/` of its folder: three tables, cut into shards.

All rows of one order number stand in the same shard, so that each shard is judged by itself and
memory holds one of them. A shard of a table may have several part files. Rows stand in the order
in which they were written: the states of an order by snapshot, the calls of the provider by time.

Texts that repeat (shops, topics, lines, counts) are codes into tables of `meta.json`, which also
has what is small: the senders' ends, the lines that could not be read, what the columns were made
from. The snapshots' own times and stock are in `snapshots.jsonl`. Ids of webhooks and groups stay
texts. What nobody judges by (event ids, targets, the provider's keys and replies) is left out.

`meta.json` is written last: columns without it are no columns.
"""

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from results.bundle import Note
from results.records import Count, GeneratorEnd, Line, Outcome
from results.run_folder import RunFolder

COLUMNS_VERSION = 1
SHARD_DELIVERIES = 300_000  # what a shard should hold
NAMES_MAX, LINES_MAX = 60_000, 1_000_000
OUTCOMES = (Outcome.OK, Outcome.FAIL, Outcome.INFO)
OK, FAIL, INFO = range(3)
NO_LINES = 0  # the code of ()

TABLES: dict[str, dict[str, Any]] = {
    "deliveries": {
        "number": pl.Int64,  # its place among the intents of all files
        "order_id": pl.Int64, "shop": pl.UInt16, "topic": pl.UInt16, "authentic": pl.Boolean,
        "webhook_id": pl.String, "group_id": pl.String,
        "attempt_id": pl.String,  # null: `<webhook id>.<copy>.<attempt>`
        "copy": pl.Int32, "attempt": pl.Int32, "lines": pl.UInt32, "intended_ns": pl.Int64,
        "waited_ns": pl.Int64, "sent_ns": pl.Int64,
        "done_ns": pl.Int64,  # null: nothing came back
        "outcome": pl.UInt8, "status": pl.Int32, "error": pl.String,
    },
    "calls": {
        "number": pl.Int64,
        "order_id": pl.Int64, "shop": pl.UInt16, "at_ns": pl.Int64, "lines": pl.UInt32,
        "effect_id": pl.String,
    },
    "states": {
        "number": pl.Int64,
        "order_id": pl.Int64, "shop": pl.UInt16,
        "look": pl.UInt32,  # the number of the snapshot
        "status": pl.UInt16,  # null: no row
        "fulfillments": pl.UInt16, "movements": pl.UInt32, "webhook_ids": pl.List(pl.String),
        "in_inbox": pl.Boolean, "counts": pl.UInt32,
    },
}  # fmt: skip


class Unread(Struct, frozen=True, kw_only=True, array_like=True):
    """The note of a line that could not be read, as the meta file has it."""

    file: str
    line: int
    torn: bool
    problem: str


class Meta(Struct, frozen=True, kw_only=True):
    """What is small of a run's columns, and from which files they were made."""

    version: int = COLUMNS_VERSION
    source: dict[str, tuple[int, int]]  # file -> size, time of its last change in ns
    shards: int
    deliveries: int
    history_files: int
    has_witness_file: bool
    generator_ends: tuple[GeneratorEnd, ...]
    notes: tuple[Unread, ...]
    names: tuple[str, ...]  # by code: shops, topics, statuses
    lines: tuple[tuple[Line, ...], ...]  # by code; the first is ()
    counts: tuple[tuple[Count, ...], ...]
    cannot: str = ""  # why such a run cannot be columns

    def read_notes(self) -> tuple[Note, ...]:
        """The notes as the bundle has them."""
        return tuple(
            Note(file=one.file, line=one.line, torn=one.torn, problem=one.problem)
            for one in self.notes
        )


class Codes(dict[Any, int]):
    """Numbers for values that repeat, given when first asked for.

    OverflowError beyond the limit: then nothing repeats.
    """

    def __init__(self, limit: int, *first: Any) -> None:
        super().__init__({value: number for number, value in enumerate(first)})
        self.limit = limit

    def __missing__(self, value: Any) -> int:
        number = len(self)
        if number >= self.limit:
            raise OverflowError(f"more than {self.limit} different values of one kind")
        self[value] = number
        return number


class Columns:
    """Paths below `columns/` of a run, and what is in them."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.path / "columns"
        self.meta = self.path / "meta.json"
        self.snapshots = self.path / "snapshots.jsonl"

    def part(self, table: str, shard: int, number: int) -> Path:
        """One part file."""
        return self.path / f"{table}-{shard:05}-{number:05}.parquet"

    def read_meta(self) -> Meta | None:
        """None where there are none, of an older form, or of files that have changed since."""
        try:
            meta = msgspec.json.decode(self.meta.read_bytes(), type=Meta)
        except (OSError, msgspec.DecodeError):
            return None
        if meta.version != COLUMNS_VERSION or meta.source != source(self.folder):
            return None
        return meta

    def shard(self, table: str, shard: int) -> pl.DataFrame:
        """All rows of a shard, in the order in which they were written."""
        parts = sorted(self.path.glob(f"{table}-{shard:05}-*.parquet"))
        if not parts:
            return pl.DataFrame(schema=TABLES[table])
        return pl.concat([pl.read_parquet(part) for part in parts])


def source(folder: RunFolder) -> dict[str, tuple[int, int]]:
    """Size and time of last change of the files that columns are made from."""
    found = {}
    for path in (*folder.histories(), folder.witness, folder.ledger):
        if path.exists():
            stat = path.stat()
            found[path.name] = (stat.st_size, stat.st_mtime_ns)
    return found


def shard_of(order_id: pl.Expr, shards: int) -> pl.Expr:
    """In which shard an order number belongs: evenly, whatever the numbers' steps are."""
    mixed = order_id ^ (order_id // 65_536)
    return ((mixed % 2_147_483_647) % shards).cast(pl.UInt32)
