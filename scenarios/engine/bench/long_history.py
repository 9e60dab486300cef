"""A run of any length as columns, made from a seed: what the checker's benchmark judges.

Every order is announced twice at once under two webhook ids (UUIDs) and shipped once; every 50th
has a copy that got a 503 and was repeated, every 500th a forged delivery that was refused, every
700th is cancelled after its work. A snapshot is taken each second. Of each code that needs no trace
of the wire one order in `every` has that anomaly: `expected` says what must be found.

It is written as a converted history is (`results/columns/layout.py`), shard by shard.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from results.columns.layout import (
    FAIL,
    INFO,
    NO_LINES,
    OK,
    SHARD_DELIVERIES,
    TABLES,
    Columns,
    Meta,
    shard_of,
    source,
)
from results.history import CANCELLED, PAID
from results.records import (
    FORMAT_VERSION,
    Count,
    GeneratorEnd,
    Line,
    Manifest,
    Snapshot,
    StockLevel,
    Thresholds,
)
from results.run_folder import RunFolder, write_whole

FIRST = 910_000_010_000_000_000
START_NS = 1_000_000_000_000
STEP_NS = 100_000  # an order every 0.1 ms: 20,000 deliveries a second
LOOK_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
SKUS, INITIAL = 100, 1_000_000_000
SHOP = "onceproof-demo.myshopify.com"
NAMES = (SHOP, PAID, CANCELLED, "paid", "cancelled", "pending", "web-1")
SHOP_CODE, PAID_CODE, CANCELLED_CODE, IS_PAID, IS_CANCELLED, IS_PENDING, WEB = range(len(NAMES))
QUERIES = ("orders", "fulfillments", "movements", "webhook_log", "stock", "count credits")
ONCE, TWICE = 1, 2  # codes of counts
PLANTED: dict[str, tuple[str, ...]] = {
    "A1": ("A1",), "A2": ("A2",), "A3": ("A3",), "A4": ("A4",), "A5": ("A5",), "A6": ("A6",),
    "A7": ("A7", "A16"), "A8": ("A8",), "A9": ("A2", "A3", "A5", "A9", "A17"), "A10": ("A10",),
    "A11": ("A11",), "A12": ("A12",), "A15": ("A15",), "A17": ("A17",),
}  # fmt: skip
"""What is planted, and all codes that it gives."""

Numbers = np.ndarray[Any, np.dtype[Any]]


def expected(deliveries: int, every: int) -> dict[str, int]:
    """How often each code must be found."""
    orders = deliveries // 2
    totals: dict[str, int] = {}
    for place, codes in enumerate(PLANTED.values()):
        count = len(range(place * 3 + 1, orders, every))
        for code in codes if count else ():
            totals[code] = totals.get(code, 0) + count
    return totals


def write_history(folder: Path, deliveries: int, every: int, seed: int) -> RunFolder:
    """Make the run: two deliveries for each order, and what is repeated, forged or cancelled."""
    run = RunFolder(folder)
    columns = Columns(run)
    columns.path.mkdir(parents=True)
    run.write_manifest(manifest(seed))
    orders = np.arange(deliveries // 2, dtype=np.int64)
    shards = 1 + deliveries // SHARD_DELIVERIES
    place = pl.Series("order_id", orders + FIRST).to_frame().select(
        shard_of(pl.col("order_id"), shards)
    ).to_series().to_numpy()  # fmt: skip
    by_shard = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    looks = 3 + int(deliveries // 2 * STEP_NS // LOOK_NS) + 40
    gone = np.zeros((looks, SKUS), dtype=np.int64)
    count = 0
    for shard, own in enumerate(by_shard):
        made = _Shard(shard, own, every, np.random.default_rng([seed, shard]), looks)
        frames = made.frames()
        count += frames["deliveries"].height
        gone += made.gone
        for table, frame in frames.items():
            frame.write_parquet(
                columns.part(table, shard, 0), compression="zstd", compression_level=1
            )
    _write_snapshots(columns, np.cumsum(gone, axis=0))
    end = GeneratorEnd(worker=0, planned_orders=len(orders), sent_orders=len(orders),
                       shed_orders=0, at_ns=START_NS + looks * LOOK_NS)  # fmt: skip
    meta = Meta(
        source=source(run), shards=len(by_shard), deliveries=count, history_files=1,
        has_witness_file=True, generator_ends=(end,), notes=(), names=NAMES, lines=lines(),
        counts=((), (Count("credits", 1),), (Count("credits", 2),)),
    )  # fmt: skip
    write_whole(columns.meta, msgspec.json.encode(meta))
    return run


def manifest(seed: int) -> Manifest:
    """A finished run without the wire."""
    return Manifest(
        format_version=FORMAT_VERSION, run_id="bench", scenario="bench", title="A long history",
        strategy="none", provider="honours", seed=seed, started_utc="2026-01-01T00:00:00+00:00",
        wall_ns=0, monotonic_ns=START_NS, status="finished", runner_pid=0,
        thresholds=Thresholds(), asked_faults={}, has_wire=False, ledger_queries=QUERIES,
    )  # fmt: skip


def lines() -> tuple[tuple[Line, ...], ...]:
    """By code: none; one line of 1 to 3 of each sku; and each of these twice over."""
    single = tuple(
        (Line(sku=f"ONCE-{sku:03}", quantity=1 + sku % 3),) for sku in range(SKUS)
    )  # fmt: skip
    return (), *single, *(line * 2 for line in single)


def _write_snapshots(columns: Columns, gone: Numbers) -> None:
    with columns.snapshots.open("wb") as file:
        for look, row in enumerate(gone):
            begun_ns = START_NS + look * LOOK_NS
            snapshot = Snapshot(
                begun_ns=begun_ns, ended_ns=begun_ns + 5 * MILLISECOND_NS,
                reason="final" if look == len(gone) - 1 else "sample", orders=(),
                stock=tuple(
                    StockLevel(sku=f"ONCE-{sku:03}", initial=INITIAL,
                               remaining=INITIAL - int(units))
                    for sku, units in enumerate(row)
                ),
            )  # fmt: skip
            file.write(msgspec.json.encode(snapshot) + b"\n")


def uuids(count: int, draw: np.random.Generator) -> pl.Series:
    """So many ids as senders make them."""
    digits = np.frombuffer(b"".join(b"%02x" % one for one in range(256)), dtype=np.uint16)
    hexed = digits[draw.integers(0, 256, (count, 16), dtype=np.uint8)].view(np.uint8)
    text = np.full((count, 37), ord("-"), dtype=np.uint8)
    at = 0
    for begin, end in ((0, 8), (9, 13), (14, 18), (19, 23), (24, 36)):
        text[:, begin:end] = hexed[:, at : at + end - begin]
        at += end - begin
    text[:, 36] = ord("\n")
    if not count:
        return pl.Series([], dtype=pl.String)
    return pl.read_csv(text.tobytes(), has_header=False, schema={"id": pl.String})["id"]


class _Shard:
    """The rows of one shard; `own` are its orders, counted from 0."""

    def __init__(
        self,
        shard: int,
        own: Numbers,
        every: int,
        draw: np.random.Generator,
        looks: int,
    ) -> None:
        self.shard, self.own = shard, own
        self.every, self.draw, self.looks = every, draw, looks
        self.intended = START_NS + own * STEP_NS
        self.sent = self.intended + draw.integers(0, MILLISECOND_NS, len(own))
        self.lines = (1 + own % SKUS).astype(np.uint32)
        self.shipped = self.sent + draw.integers(20, 40, len(own)) * MILLISECOND_NS
        self.gone = np.zeros((looks, SKUS), dtype=np.int64)
        self.webhooks = (uuids(len(own), draw), uuids(len(own), draw))

    def has(self, code: str) -> Numbers:
        """Which orders have this anomaly planted."""
        which: Numbers = self.own % self.every == (list(PLANTED).index(code) * 3 + 1) % self.every
        return which

    def planted(self) -> Numbers:
        """Which have any."""
        which: Numbers = np.any([self.has(code) for code in PLANTED], axis=0)
        return which

    def frames(self) -> dict[str, pl.DataFrame]:
        """All three tables."""
        return {
            "deliveries": self._numbered("deliveries", self._deliveries(), "intended_ns"),
            "calls": self._numbered("calls", self._calls(), "at_ns"),
            "states": self._numbered("states", self._states(), "look"),
        }

    def _numbered(self, table: str, parts: list[pl.DataFrame], by: str) -> pl.DataFrame:
        rows = pl.concat(parts, how="diagonal_relaxed").sort(by, maintain_order=True)
        rows = rows.with_row_index("number")  # unique in the whole run, though not by time
        rows = rows.with_columns(pl.col("number").cast(pl.Int64) + self.shard * 2**32)
        absent = [name for name in TABLES[table] if name not in rows.columns]
        rows = rows.with_columns(**dict.fromkeys(absent, pl.lit(None)))
        return rows.select(pl.col(name).cast(kind) for name, kind in TABLES[table].items())

    def _deliveries(self) -> list[pl.DataFrame]:
        wrong = self.planted()
        repeated = (self.own % 50 == 7) & ~wrong
        refused, given_up = self.has("A12"), self.has("A7")
        never = self.has("A6")
        parts = []
        for copy in (0, 1):
            took = self.draw.integers(2, 9, len(self.own)) * MILLISECOND_NS
            first = np.full(len(self.own), OK, dtype=np.uint8)
            status = np.full(len(self.own), 200, dtype=np.int32)
            first[refused], status[refused] = FAIL, 401
            first[never], status[never] = INFO, 503
            if copy == 1:
                late = repeated | given_up
                first[late], status[late] = INFO, 503
            late_copy = np.where(given_up & (copy == 1), 100 * MILLISECOND_NS, 0)
            parts.append(self._sent(copy, 1, slice(None), late_copy, took, first, status))
            if copy == 1:
                parts.append(self._again(repeated, 2, OK, 200, 60))
            for attempt in range(2, 10):
                which = (never | given_up) if copy == 1 else never
                parts.append(self._again(which, attempt, INFO, 503, 100 * attempt, copy))
        parts += self._strangers(wrong)
        return parts

    def _sent(
        self, copy: int, attempt: int, which: slice | Numbers, late_ns: Numbers | int,
        took_ns: Numbers | int, outcome: Numbers | int, status: Numbers | int,
    ) -> pl.DataFrame:  # fmt: skip
        """Attempts of a copy, a while after the orders' time."""
        own, webhooks = self.own[which], self.webhooks[copy].to_frame("webhook_id")
        if isinstance(which, np.ndarray):
            webhooks = webhooks.filter(pl.Series(which))
        intended = self.intended[which] + late_ns
        sent = self.sent[which] + late_ns
        return webhooks.with_columns(
            order_id=pl.Series(FIRST + own), shop=pl.lit(SHOP_CODE), topic=pl.lit(PAID_CODE),
            authentic=pl.lit(value=True), target=pl.lit(WEB),
            copy=pl.lit(copy), attempt=pl.lit(attempt),
            lines=pl.Series(self.lines[which]), intended_ns=pl.Series(intended),
            waited_ns=pl.lit(0), sent_ns=pl.Series(sent), done_ns=pl.Series(sent + took_ns),
            outcome=pl.Series(np.broadcast_to(outcome, own.shape).astype(np.uint8)),
            status=pl.Series(np.broadcast_to(status, own.shape).astype(np.int32)),
            group_id=pl.format("burst-{}", pl.Series("own", own)),
        )  # fmt: skip

    def _again(
        self, which: Numbers, attempt: int, outcome: int, status: int, late_ms: int,
        copy: int = 1,
    ) -> pl.DataFrame:  # fmt: skip
        late_ns, took_ns = late_ms * MILLISECOND_NS, 3 * MILLISECOND_NS
        return self._sent(copy, attempt, which, late_ns, took_ns, outcome, status)

    def _strangers(self, wrong: Numbers) -> list[pl.DataFrame]:
        """Forged deliveries and cancellations."""
        kinds: list[tuple[Numbers, bool, int, int, int]] = [
            ((self.own % 500 == 11) & ~wrong, False, PAID_CODE, 40, 401),
            (self.has("A15"), False, PAID_CODE, 40, 200),
            (self._cancelled(), True, CANCELLED_CODE, 5_000, 200),
            (self.has("A10"), True, CANCELLED_CODE, -50, 200),
        ]
        parts = []
        for which, authentic, topic, late_ms, status in kinds:
            rows = self._again(which, 1, OK if status == 200 else FAIL, status, late_ms)
            parts.append(
                rows.with_columns(
                    authentic=pl.lit(authentic), topic=pl.lit(topic), group_id=pl.lit(""),
                    webhook_id=uuids(rows.height, self.draw), copy=pl.lit(0),
                )
            )  # fmt: skip
        return parts

    def _cancelled(self) -> Numbers:
        which: Numbers = (self.own % 700 == 13) & ~self.planted()
        return which

    def _calls(self) -> list[pl.DataFrame]:
        at, codes = self.shipped.copy(), self.lines.copy()
        at[self.has("A4")] -= 100 * MILLISECOND_NS
        swapped = self.has("A11")
        codes[swapped] = 1 + codes[swapped] % SKUS
        effects = pl.format("shipment-{}", uuids(len(self.own), self.draw).str.slice(0, 8))
        made = pl.DataFrame({"order_id": FIRST + self.own, "at_ns": at, "lines": codes})
        made = made.with_columns(
            shop=pl.lit(SHOP_CODE),
            effect_id=effects,
            key=pl.format(f"{SHOP}:{{}}:fulfil", "order_id"),
        )
        none = self.has("A2") | self.has("A6") | self.has("A9")
        second = made.filter(pl.Series(self.has("A1"))).with_columns(
            pl.col("at_ns") + MILLISECOND_NS, effect_id=pl.col("effect_id") + "-2"
        )
        known = made.filter(pl.Series((self.own % 200 == 3) & ~self.planted())).with_columns(
            pl.col("at_ns") + MILLISECOND_NS, effect_id=pl.lit(None, pl.String)
        )
        return [made.filter(pl.Series(~none)), second, known]

    def _states(self) -> list[pl.DataFrame]:
        """One state of each order, at the first snapshot after its work."""
        moved = self.lines.copy()
        moved[self.has("A5")] = NO_LINES
        moved[self.has("A9")] = NO_LINES
        moved[self.has("A8")] += SKUS
        worked = self.sent + MILLISECOND_NS
        look = -(-(worked - START_NS) // LOOK_NS)
        look[self.has("A3")] += 30
        poisoned = self.has("A9")
        rows = pl.DataFrame(
            {
                "order_id": FIRST + self.own, "look": look, "movements": moved,
                "status": np.where(poisoned, IS_PENDING, IS_PAID),
                "fulfillments": np.where(poisoned, 0, 1),
                "counts": np.where(self.has("A17"), TWICE, np.where(poisoned, 0, ONCE)),
            }
        ).with_columns(
            shop=pl.lit(SHOP_CODE), in_inbox=pl.lit(value=False),
            webhook_ids=pl.concat_list(self.webhooks[0], self.webhooks[1]),
        )  # fmt: skip
        there = ~self.has("A6")
        self._take(look[there], moved[there])
        ended = rows.filter(pl.Series(self._cancelled())).with_columns(
            pl.col("look") + 6, status=pl.lit(IS_CANCELLED)
        )
        return [rows.filter(pl.Series(there)), ended]

    def _take(self, look: Numbers, moved: Numbers) -> None:
        """Keep the stock in step with the movements."""
        units = np.array([[sum(line.quantity for line in found if line.sku == f"ONCE-{sku:03}")
                           for sku in range(SKUS)] for found in lines()])  # fmt: skip
        counted = np.zeros((self.looks, len(units)), dtype=np.int64)
        np.add.at(counted, (look, moved), 1)
        self.gone += counted @ units
