"""Makes a run's columns from its JSON lines, once: `convert` reads each file a single time.

Every line goes through the decoder that `RunFolder.load` uses, so what that one notes as torn or
unreadable is noted here in the same words. Intents and completions are joined while they pass by:
memory holds the attempts that are still open, and a few million rows on their way to a shard.

What the columns cannot hold is said in `Meta.cannot`, and such a run is judged from its records: a
history that contradicts itself, snapshots out of order, numbers beyond 64 bits, more different
lines of orders than the tables take.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from results.bundle import Note
from results.columns.layout import (
    COLUMNS_VERSION,
    LINES_MAX,
    NAMES_MAX,
    OUTCOMES,
    SHARD_DELIVERIES,
    TABLES,
    Codes,
    Columns,
    Meta,
    Unread,
    shard_of,
    source,
)
from results.records import Completion, GeneratorEnd, Intent, OrderState, ProviderCall, Snapshot
from results.run_folder import HISTORY, WITNESS, RunFolder, read_lines, write_whole

BLOCK_BYTES = 8 * 2**20
ROWS_MAX = 2_000_000  # of all tables, before they are written
BYTES_A_DELIVERY = 600  # an intent and its completion as JSON, about

Pair = tuple[int, Intent, Completion | None]


class Unfit(Exception):  # noqa: N818 - not an error: such a run is judged in the other way
    """This run cannot be columns; the text says why."""


def convert(folder: RunFolder) -> Meta:
    """Make the columns anew, and say what they are."""
    columns = Columns(folder)
    shutil.rmtree(columns.path, ignore_errors=True)
    columns.path.mkdir()
    made_from = source(folder)
    size = sum(bytes_ for name, (bytes_, _) in made_from.items() if name.startswith("history"))
    shards = 1 + size // (BYTES_A_DELIVERY * SHARD_DELIVERIES)
    work = _Conversion(columns, shards)
    cannot = ""
    try:
        work.history(folder.histories())
        work.witness(folder.witness)
        work.ledger(folder.ledger)
        work.flush()
    except (Unfit, OverflowError, TypeError, pl.exceptions.PolarsError) as unfit:
        cannot = str(unfit) or type(unfit).__name__
    meta = Meta(
        version=COLUMNS_VERSION,
        source=made_from,
        shards=shards,
        deliveries=work.deliveries,
        history_files=max(1, len(folder.histories())),
        has_witness_file=folder.witness.exists(),
        generator_ends=tuple(work.ends),
        notes=tuple(
            Unread(file=one.file, line=one.line, torn=one.torn, problem=one.problem)
            for one in work.notes
        ),
        names=tuple(work.names),
        lines=tuple(work.lines),
        counts=tuple(work.counts),
        cannot=cannot,
    )
    write_whole(columns.meta, msgspec.json.encode(meta))
    return meta


class _Conversion:
    """What is on its way from lines to shards."""

    def __init__(self, columns: Columns, shards: int) -> None:
        self.columns, self.shards = columns, shards
        self.names, self.lines = Codes(NAMES_MAX), Codes(LINES_MAX, ())
        self.counts = Codes(LINES_MAX, ())
        self.notes: list[Note] = []
        self.ends: list[GeneratorEnd] = []
        self.deliveries = 0
        self.waiting: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        self.numbers = dict.fromkeys(TABLES, 0)
        self.rows = 0
        self.flushes = 0

    def history(self, paths: Sequence[Path]) -> None:
        """Join intents and completions; what stays open at the end had no answer."""
        open_: dict[str, tuple[int, Intent]] = {}
        early: dict[str, Completion] = {}
        number = 0
        for path in paths:
            for records in record_blocks(path, HISTORY, self.notes):
                done: list[Pair] = []
                for record in records:
                    if isinstance(record, Intent):
                        if record.attempt_id in open_:
                            raise Unfit(f"attempt id {record.attempt_id} was used twice")
                        open_[record.attempt_id] = (number, record)
                        number += 1
                    elif isinstance(record, Completion):
                        found = open_.pop(record.attempt_id, None)
                        if found is not None:
                            done.append((*found, record))
                        elif early.setdefault(record.attempt_id, record) is not record:
                            raise Unfit(f"attempt {record.attempt_id} was completed twice")
                    else:
                        self.ends.append(record)
                self._add_deliveries(done)
        self._add_deliveries(
            [(place, one, early.pop(one.attempt_id, None)) for place, one in open_.values()]
        )
        if early:
            raise Unfit(f"attempt {next(iter(early))} was completed twice, or never intended")

    def witness(self, path: Path) -> None:
        """The calls; how they were answered decides nothing."""
        for records in record_blocks(path, WITNESS, self.notes):
            calls = [one for one in records if isinstance(one, ProviderCall)]
            self._add("calls", {
                "number": self._numbers("calls", len(calls)),
                "order_id": [one.order_id for one in calls],
                "shop": [self.names[one.shop] for one in calls],
                "at_ns": [one.at_ns for one in calls],
                "lines": [self.lines[one.lines] for one in calls],
                "effect_id": [one.effect_id for one in calls],
            })  # fmt: skip

    def ledger(self, path: Path) -> None:
        """The states, and the snapshots without them."""
        look, begun_ns = 0, None
        with self.columns.snapshots.open("wb") as small:
            for records in record_blocks(path, Snapshot, self.notes):
                states: list[tuple[int, OrderState]] = []
                for one in records:
                    if begun_ns is not None and one.begun_ns < begun_ns:
                        raise Unfit("the snapshots do not stand in the order of time")
                    begun_ns = one.begun_ns
                    states += [(look, state) for state in one.orders]
                    bare = msgspec.structs.replace(one, orders=())
                    small.write(msgspec.json.encode(bare) + b"\n")
                    look += 1
                self._add_states(states)

    def flush(self) -> None:
        """Write what waits, a part file for each shard."""
        for table, frames in self.waiting.items():
            if frames:
                rows = pl.concat(frames).with_columns(
                    shard_of(pl.col("order_id"), self.shards).alias("shard")
                )
                for (shard,), own in rows.partition_by(
                    "shard", as_dict=True, include_key=False
                ).items():
                    path = self.columns.part(table, int(shard), self.flushes)
                    own.write_parquet(path, compression="zstd", compression_level=1)
                frames.clear()
        self.rows = 0
        self.flushes += 1

    def _numbers(self, table: str, count: int) -> list[int]:
        """The next places among the rows of a table."""
        first = self.numbers[table]
        self.numbers[table] += count
        return list(range(first, first + count))

    def _add(self, table: str, columns: dict[str, list[Any] | pl.Series]) -> None:
        frame = pl.DataFrame(columns, schema=TABLES[table], strict=True)
        self.waiting[table].append(frame)
        self.rows += frame.height
        if self.rows >= ROWS_MAX:
            self.flush()

    def _add_deliveries(self, pairs: list[Pair]) -> None:
        names, lines = self.names, self.lines
        outcomes = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        intents = [intent for _, intent, _ in pairs]
        done = [completion for _, _, completion in pairs]
        self.deliveries += len(pairs)
        self._add("deliveries", {
            "number": [number for number, _, _ in pairs],
            "order_id": [one.order_id for one in intents],
            "shop": [names[one.shop] for one in intents],
            "topic": [names[one.topic] for one in intents],
            "authentic": [one.authentic for one in intents],
            "webhook_id": [one.webhook_id for one in intents],
            "group_id": [one.group_id for one in intents],
            "attempt_id": [
                None if one.attempt_id == f"{one.webhook_id}.{one.copy}.{one.attempt}"
                else one.attempt_id for one in intents
            ],
            "copy": [one.copy for one in intents],
            "attempt": [one.attempt for one in intents],
            "lines": [lines[one.lines] for one in intents],
            "intended_ns": [one.intended_ns for one in intents],
            "waited_ns": [one.waited_ns for one in intents],
            "sent_ns": [one and one.sent_ns for one in done],
            "done_ns": [one and one.done_ns for one in done],
            "outcome": [one and outcomes[one.outcome] for one in done],
            "status": [one and one.status for one in done],
            "error": [one and one.error for one in done],
        })  # fmt: skip

    def _add_states(self, found: list[tuple[int, OrderState]]) -> None:
        states = [state for _, state in found]
        self._add("states", {
            "number": self._numbers("states", len(states)),
            "order_id": [one.order_id for one in states],
            "shop": [self.names[one.shop] for one in states],
            "look": [look for look, _ in found],
            "status": [
                None if one.status is None else self.names[one.status] for one in states
            ],
            "fulfillments": [len(one.fulfillments) for one in states],
            "movements": [self.lines[one.movements] for one in states],
            "webhook_ids": _listed([one.webhook_ids for one in states]),
            "in_inbox": [one.in_inbox for one in states],
            "counts": [self.counts[one.counts] for one in states],
        })  # fmt: skip


def _listed(found: list[tuple[str, ...]]) -> pl.Series:
    """A column of lists; made from one flat column, for each list by itself takes its time."""
    flat = pl.DataFrame(
        {
            "row": [row for row, texts in enumerate(found) for _ in texts],
            "text": [text for texts in found for text in texts],
        },
        schema={"row": pl.Int64, "text": pl.String},
    )
    rows = pl.DataFrame({"row": range(len(found))}, schema={"row": pl.Int64})
    listed = flat.group_by("row", maintain_order=True).agg("text")
    whole = rows.join(listed, on="row", how="left", maintain_order="left")
    return whole["text"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def record_blocks(path: Path, kinds: Any, notes: list[Note]) -> Iterator[list[Any]]:
    """The records of a file, block by block; a missing file has none.

    A block in which each line is one object and nothing else is decoded in one call; any other is
    decoded line by line, as `RunFolder.load` does.
    """
    if not path.exists():
        return
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kinds)
    number = 1
    for block in _blocks(path):
        count = block.count(b"\n")
        if block.endswith(b"}\n") and block.count(b"}\n{") == count - 1 and block[:1] == b"{":
            try:
                records = decoder.decode_lines(block)
            except (msgspec.DecodeError, UnicodeDecodeError):
                records = []
            if len(records) == count:
                yield records
                number += count
                continue
        lines = _lines(block)
        yield read_lines(lines, decoder, path.name, notes, number)
        number += len(lines)


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, some millions of bytes at a time; the last one may lack its end."""
    kept: list[bytes] = []
    with path.open("rb") as file:
        while read := file.read(BLOCK_BYTES):
            end = read.rfind(b"\n") + 1
            if end == 0:
                kept.append(read)
                continue
            yield b"".join([*kept, read[:end]])
            kept = [read[end:]]
    if rest := b"".join(kept):
        yield rest


def _lines(block: bytes) -> list[bytes]:
    """As a file opened in binary gives them: `splitlines` would cut at other ends, too."""
    *whole, rest = block.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])
