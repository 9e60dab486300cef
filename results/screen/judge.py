"""From a run's columns to its verdict: screen every shard, then let the judges see the suspects.

Suspects are judged in batches, so that memory holds one of them, each with the whole run's small
files, its figures and the examples. Orders that may have to do with each other (one log entry
under another order's name, one transaction of the wire) are in the first batch together. So are
all codes counted, however many suspects there are; of the anomalies the first of each code are
kept, as in `checker.list_some`. Which of several with the very same time that is may differ.

What columns cannot tell for certain ends here: an attempt id that may stand twice gives None, and
the run is judged from its records.
"""

import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import polars as pl

from results.anomalies import JUDGES
from results.bundle import Bundle, Whole
from results.checker import find_anomalies, list_some, weigh
from results.columns.convert import convert
from results.columns.layout import NO_LINES, Columns, Meta
from results.errors import HarnessError
from results.figures import VALUES, Figures, Tally, figures, tallied
from results.records import Snapshot
from results.run_folder import RunFolder, in_order
from results.screen.facts import Facts
from results.screen.shard import EXAMPLES, FIRST, Screened, screen
from results.screen.tables import Tables
from results.screen.values import Ids, Runs
from results.stock import Sums, sums_by_snapshot
from results.verdict import ANOMALIES_MAX, Anomaly, NotJudged, Verdict

BATCH_ORDERS = 20_000
SHARDS_AT_ONCE = 2
CHANGES_MAX = 2_000_000  # rows that are summed up into fewer


def judge_columns(folder: RunFolder, slos: Sequence[str] = ()) -> Verdict | None:
    """Judge a run from its columns, made now if need be; None: it must be judged from records.

    HarnessError where the disk refuses them.
    """
    columns = Columns(folder)
    try:
        meta = columns.read_meta() or convert(folder)
        if meta.cannot:
            return None
        facts = Facts(columns, meta, frame_of(folder, meta, slos))
        with tempfile.TemporaryDirectory(prefix=".screen-", dir=folder.path) as place:
            work = _Work(facts, Path(place))
            work.screen_all()
            if work.ids.repeated():
                return None
            work.add_relatives()
            return work.verdict()
    except OSError as error:
        raise HarnessError(
            f"The columns of {folder.path.name} could not be written or read: {error}. Make room "
            "on the disk (a fifth of the history's size), remove `columns` there, and check again."
        ) from error


def frame_of(folder: RunFolder, meta: Meta, slos: Sequence[str] = ()) -> Bundle:
    """The run without its orders."""
    small = folder.load_small()
    manifest = small.manifest
    if slos:
        manifest = msgspec.structs.replace(manifest, slos=tuple(slos))
    decoder = msgspec.json.Decoder(Snapshot)
    snapshots = Columns(folder).snapshots
    lines = snapshots.read_bytes().splitlines() if snapshots.exists() else []
    return replace(
        small,
        manifest=manifest,
        generator_ends=meta.generator_ends,
        history_files=meta.history_files,
        has_witness_file=meta.has_witness_file,
        snapshots=tuple(decoder.decode(line) for line in lines),
        notes=in_order((*meta.read_notes(), *small.notes)),
    )


@dataclass
class _Found:
    """The anomalies of the batches so far."""

    counts: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[Anomaly]] = field(default_factory=dict)

    def add(self, anomalies: Iterable[Anomaly]) -> None:
        """Count all, keep the first of each code."""
        for one in anomalies:
            self.counts[one.code] += 1
            self.listed.setdefault(one.code, []).append(one)
        for found in self.listed.values():
            found.sort(key=lambda one: one.first_ns)
            del found[ANOMALIES_MAX:]


class _Work:
    """What the shards came to so far; the rows of suspects wait in files below `place`."""

    def __init__(self, facts: Facts, place: Path) -> None:
        self.facts, self.place = facts, place
        self.tally = Tally()
        self.runs = {name: Runs(place, name) for name in VALUES}
        self.ids = Ids(place)
        self.changes: list[pl.DataFrame] = []
        self.foreign: list[pl.DataFrame] = []
        self.examples: dict[str, Tables] = {}
        self.begun_ns: int | None = None
        self.suspects: list[int] = []  # shards that have some
        self.related: list[Tables] = []  # judged together
        self.odd_sums: list[list[Sums]] = []

    def screen_all(self) -> None:
        """Two shards at a time: while one is put together, the other has the processors."""
        waiting: deque[tuple[int, Future[Screened]]] = deque()
        with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
            for shard in range(self.facts.meta.shards):
                if len(waiting) == SHARDS_AT_ONCE:
                    self._add_first(waiting)
                asked = set(EXAMPLES) - self.examples.keys()
                waiting.append((shard, pool.submit(screen, self.facts, shard, asked)))
            while waiting:
                self._add_first(waiting)

    def _add_first(self, waiting: "deque[tuple[int, Future[Screened]]]") -> None:
        shard, found = waiting.popleft()
        self.add(shard, found.result())

    def add(self, shard: int, found: Screened) -> None:
        """Keep what a shard came to."""
        self.tally.add(found.tally)
        for name, values in zip(
            VALUES, (found.values.late, found.values.shipped, found.values.latency), strict=True
        ):
            self.runs[name].add(values)
        self.ids.add(found.ids)
        self._add_changes(found.changes)
        self.foreign.append(found.foreign)
        for name, order_id in found.examples.items():
            if name != FIRST or self._earlier(found.first_begun_ns):
                self.examples[name] = found.rows.of(pl.Series([order_id], dtype=pl.Int64))
        suspects = found.suspects
        if len(suspects):
            self.suspects.append(shard)
            found.rows.of(suspects).write(self.place, f"suspects-{shard}")
            # The stock's anomalies stand under the number 0: whoever has it is judged with it.
            related = pl.concat([found.traced, suspects.filter(suspects == 0)])
            self.related.append(found.rows.of(related))
            for orders in _slices(found.odd):
                self._count_odd(found.rows.of(orders))

    def _add_changes(self, changes: pl.DataFrame) -> None:
        """Keep them, summed up whenever they become many."""
        self.changes.append(changes)
        if sum(one.height for one in self.changes) > CHANGES_MAX:
            self.changes = [_summed(self.changes)]

    def _earlier(self, begun_ns: int | None) -> bool:
        """Whether a delivery was begun before all those of the shards so far."""
        if begun_ns is None or (self.begun_ns is not None and begun_ns >= self.begun_ns):
            return False
        self.begun_ns = begun_ns
        return True

    def _count_odd(self, rows: Tables) -> None:
        """Take the figures of odd orders from their records."""
        bundle = self._bundle(rows)
        tally = tallied(bundle.history, bundle.effects)
        for name in VALUES:
            self.runs[name].add(pl.Series(list(getattr(tally, name)), dtype=pl.Int64))
            del getattr(tally, name)[:]
        self.tally.add(tally)
        sums = sums_by_snapshot(bundle.history, bundle.ledger)
        self.odd_sums.append([_copied(one) for one in sums])

    def add_relatives(self) -> None:
        """Orders whose webhooks stand in the log of others, and those others."""
        foreign = pl.concat(self.foreign)
        if foreign.is_empty():
            return
        entries = foreign.select("entry").unique()
        owners: dict[int, pl.DataFrame] = {}
        for shard in range(self.facts.meta.shards):
            rows = self.facts.columns.shard("deliveries", shard).select(
                "order_id", entry=pl.col("webhook_id").hash()
            )
            owners[shard] = rows.join(entries, on="entry", how="semi")
        owned = pl.concat(owners.values()).select("entry").unique()
        holders = foreign.join(owned, on="entry", how="semi")["order_id"].unique()
        for shard, own in owners.items():
            wanted = pl.concat([own["order_id"], holders]).unique()
            if len(owned):
                self.related.append(Tables.read(self.facts.columns, shard).of(wanted))

    def verdict(self) -> Verdict:
        """Judge the suspects in batches, and weigh the whole."""
        whole = Whole(figures=self._figures(), sums=self._sums())
        examples = Tables.together(self.examples.values())
        related = Tables.together(self.related)
        together = related.orders
        found, frame = _Found(), None
        not_judged: tuple[NotJudged, ...] = ()
        for batch in self._batches(together, related):
            judged = Tables.together([batch, examples])
            bundle = self._bundle(judged, whole, traced=frame is None)
            anomalies, missing = find_anomalies(bundle)
            own = set(batch.orders.to_list())
            if frame is None:
                frame, not_judged = bundle, missing
                own.add(0)  # the stock, which is judged once
            found.add(one for one in anomalies if one.order_id in own)
        assert frame is not None
        totals = {one.code: found.counts[one.code] for one in JUDGES if found.counts[one.code]}
        listed = list_some([one for own in found.listed.values() for one in own])
        return weigh(frame, listed, totals, not_judged)

    def _batches(self, together: pl.Series, related: Tables) -> Iterable[Tables]:
        """First those that belong together, and as many others as a batch takes."""
        waiting, count = [related], len(together)
        for shard in self.suspects:
            rows = Tables.kept(self.place, f"suspects-{shard}").without(together)
            for orders in _slices(rows.orders):
                if count and count + len(orders) > BATCH_ORDERS:
                    yield Tables.together(waiting)
                    waiting, count = [], 0
                waiting.append(rows.of(orders))
                count += len(orders)
        yield Tables.together(waiting)

    def _bundle(self, rows: Tables, whole: Whole | None = None, *, traced: bool = False) -> Bundle:
        """Some orders as records, with the whole run's small files."""
        meta, frame = self.facts.meta, self.facts.frame
        states = rows.order_states(meta)
        return replace(
            frame,
            intents=tuple(rows.intents(meta)),
            completions=tuple(rows.completions()),
            calls=tuple(rows.provider_calls(meta)),
            statements=frame.statements if traced else (),
            snapshots=tuple(
                msgspec.structs.replace(one, orders=tuple(states.get(look, ())))
                for look, one in enumerate(frame.snapshots)
            ),
            whole=whole,
        )

    def _figures(self) -> Figures:
        late, shipped, latency = (self.runs[name].percentile_ms for name in VALUES)
        return figures(self.tally, late, shipped, latency)

    def _sums(self) -> list[Sums]:
        """The sums of the stock at each snapshot: those of the columns, and of the odd orders."""
        changes = _summed(self.changes).sort("look").partition_by("look", as_dict=True)
        now, found = Sums(), []
        for look in range(len(self.facts.frame.snapshots)):
            own = changes.get((look,))
            for kind, _, code, times in own.iter_rows() if own is not None else ():
                units = (now.moved, now.paid, now.either)[kind]
                for line in self.facts.meta.lines[code]:
                    units[line.sku] += times * line.quantity
                if kind == 1 and code == NO_LINES:
                    now.strangers += times
            whole = _copied(now)
            for odd in self.odd_sums:
                whole.moved.update(odd[look].moved)
                whole.paid.update(odd[look].paid)
                whole.either.update(odd[look].either)
                whole.strangers += odd[look].strangers
            found.append(whole)
        return found


def _slices(orders: pl.Series) -> Iterable[pl.Series]:
    """At most a batch of them at a time."""
    return (orders.slice(at, BATCH_ORDERS) for at in range(0, len(orders), BATCH_ORDERS))


def _summed(changes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(changes).group_by("kind", "look", "code").agg(pl.col("times").sum())


def _copied(sums: Sums) -> Sums:
    return Sums(Counter(sums.moved), Counter(sums.paid), Counter(sums.either), sums.strangers)
