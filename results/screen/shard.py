"""One shard of a run: its suspects, what the rest of it comes to, and examples for the judges.

Several judges ask one thing of the whole run before they judge any order: was anything
acknowledged, was any refusal calm, did the log ever hold an id of the traffic? Each of these has a
positive answer as soon as one order shows it. So the screen keeps one such order as an example,
and the judges, who see suspects and examples only, come to the same answer.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import polars as pl

from results.columns.layout import FAIL, INFO, NO_LINES, OK
from results.figures import CREATED, Tally
from results.history import CANCELLED, PAID
from results.screen import orders as sent
from results.screen.facts import Facts
from results.screen.states import States, compared, stock_changes
from results.screen.suspects import odd, suspect
from results.screen.tables import Tables

EXAMPLES = (
    "acknowledged", "forged", "forged and refused", "cancelled", "calm",
    "calm after its shipment", "shipped without a shop", "shipped with lines", "logged",
)  # fmt: skip


FIRST = "first"  # the example of the earliest delivery


@dataclass(frozen=True)
class Values:
    """What percentiles are taken of, in ns; of all orders but the odd ones."""

    late: pl.Series
    shipped: pl.Series
    latency: pl.Series


@dataclass(frozen=True)
class Screened:
    """What a shard comes to."""

    suspects: pl.Series  # order numbers, `odd` ones among them
    odd: pl.Series
    traced: pl.Series  # those that the wire's trace names
    tally: Tally  # of all but the odd ones
    values: Values
    ids: pl.Series  # hashes of the attempts' ids
    changes: pl.DataFrame  # of the stock's sums, by all but the odd ones
    foreign: pl.DataFrame  # log entries that were not sent for their order
    first_begun_ns: int | None  # the earliest begin of a delivery
    examples: dict[str, int]  # order numbers, by what they are an example of
    rows: Tables  # of suspects and examples


def screen(facts: Facts, shard: int, asked: Collection[str] = EXAMPLES) -> Screened:
    """Look at one shard; `asked`: what no example was found of so far."""
    rows = Tables.read(facts.columns, shard)
    deliveries = sent.asked(facts, rows.deliveries)
    found = sent.by_order(facts, deliveries)
    states = compared(facts, rows.states, found, deliveries)
    groups = sent.groups(deliveries)
    named = _traced(facts, deliveries)
    found = (
        found.join(sent.shipments(rows.calls), on="order_id", how="full", coalesce=True)
        .join(states.orders, on="order_id", how="full", coalesce=True)
        .with_columns(
            odd_group=pl.col("order_id").is_in(groups.odd.implode()),
            traced=pl.col("order_id").is_in(named.implode()),
        )
    )
    odd_ones = found.filter(odd(facts))["order_id"]
    suspects = found.filter(odd(facts) | suspect(facts))["order_id"]
    even = ~pl.col("order_id").is_in(odd_ones.implode())
    narrow = deliveries.drop("webhook_id", "group_id", "attempt_id", "error", "key")
    first = deliveries.select("begun_ns", "order_id").bottom_k(1, by="begun_ns")
    tally, values = _counted(
        facts, narrow.filter(even), found.filter(even), groups.groups.filter(even)
    )
    examples = dict(_examples(facts, deliveries, rows.calls, found, states, asked))
    if len(first):
        examples[FIRST] = first["order_id"][0]
    return Screened(
        suspects=suspects,
        odd=odd_ones,
        traced=named,
        tally=tally,
        values=values,
        ids=_ids(facts, deliveries),
        changes=stock_changes(facts, states.rows.filter(even)),
        foreign=states.foreign.entries,
        first_begun_ns=first["begun_ns"][0] if len(first) else None,
        examples=examples,
        rows=rows.of(pl.concat([suspects, pl.Series(examples.values(), dtype=pl.Int64)])),
    )


def _traced(facts: Facts, deliveries: pl.DataFrame) -> pl.Series:
    """Order numbers that the wire's trace names, by themselves or by a webhook id."""
    texts, numbers = facts.traced
    if texts.is_empty():
        return numbers
    named = pl.col("webhook_id").is_in(texts.implode()) | pl.col("order_id").is_in(
        numbers.implode()
    )
    return deliveries.filter(named)["order_id"].unique()


def _counted(
    facts: Facts, deliveries: pl.DataFrame, orders: pl.DataFrame, duplicates: pl.DataFrame
) -> tuple[Tally, Values]:
    return _tally(facts, deliveries, orders, duplicates), _values(facts, deliveries, orders)


def _tally(
    facts: Facts, deliveries: pl.DataFrame, orders: pl.DataFrame, duplicates: pl.DataFrame
) -> Tally:
    paid, topic, outcome = pl.col("paid"), pl.col("topic"), pl.col("outcome")
    created, cancelled = topic == facts.name(CREATED), topic == facts.name(CANCELLED)
    acked = outcome == OK
    errors = deliveries.filter(paid & (pl.col("status") >= 500)).select("order_id")
    settled = orders.filter(pl.col("oks") > 0).select("order_id")
    sums = deliveries.select(
        retries=(pl.col("attempt") > 1).sum(),
        ok=(paid & acked).sum(),
        info=(paid & (outcome == INFO)).sum(),
        fail=(paid & (outcome == FAIL)).sum(),
        created=created.sum(),
        created_ok=(created & acked).sum(),
        cancelled=cancelled.sum(),
        cancelled_ok=(cancelled & acked).sum(),
        paid_begun=sent.masked("intended_ns", "paid").min(),
        ok_begun=sent.masked("intended_ns", "acked").min(),
        paid_ended=pl.when(paid).then(pl.coalesce("done_ns", "intended_ns")).max(),
        ok_ended=sent.masked("done_ns", "acked").max(),
    ).row(0, named=True)
    ends = {name: sums.pop(name) for name in ("paid_begun", "ok_begun", "paid_ended", "ok_ended")}
    tally = Tally(
        **sums,
        orders=orders.filter(pl.col("paid") > 0).height,
        deliveries=deliveries.height,
        duplicate_groups=duplicates.height,
        sender_overlapping_groups=int(duplicates["overlapped"].sum()),
        unresolved_orders=orders.filter((pl.col("paid") > 0) & (pl.col("oks") == 0)).height,
        effects=int(orders["effects"].sum() or 0),
        spurious_errors=errors.join(settled, on="order_id", how="semi").height,
    )
    for name, value_ns in ends.items():
        tally.extreme(name, value_ns)
    return tally


def _values(facts: Facts, deliveries: pl.DataFrame, orders: pl.DataFrame) -> Values:
    first = (pl.col("attempt") == 1) & (pl.col("topic") == facts.name(PAID))
    late = pl.col("sent_ns") - pl.col("intended_ns") - pl.col("waited_ns")
    acked = deliveries.filter(pl.col("acked"))
    shipped = orders.filter(pl.col("paid") > 0)
    return Values(
        late=deliveries.filter(first).select(late.alias("late"))["late"],
        shipped=shipped["shipped_ns"] - shipped["intended_ns"],
        latency=acked["done_ns"] - acked["intended_ns"],
    )


def _ids(facts: Facts, deliveries: pl.DataFrame) -> pl.Series:
    """A hash for each attempt's id; equal ones are looked into."""
    if facts.spelled:
        made = pl.format("{}.{}.{}", "webhook_id", "copy", "attempt")
        return deliveries.select(pl.coalesce("attempt_id", made).hash().alias("id"))["id"]
    place = pl.col("copy").cast(pl.Int64) * 4_294_967_296 + pl.col("attempt")
    mixed = place.reinterpret(signed=False) * pl.lit(sent.MIXED, pl.UInt64)
    return deliveries.select((pl.col("entry") ^ mixed).alias("id"))["id"]


def _examples(
    facts: Facts,
    deliveries: pl.DataFrame,
    calls: pl.DataFrame,
    orders: pl.DataFrame,
    states: States,
    asked: Collection[str],
) -> Iterator[tuple[str, int]]:
    """An order for each thing that some judge asks of a whole run, of those still asked for."""

    def repeated() -> pl.DataFrame:
        shipped = orders.select("order_id", "shipped_ns").drop_nulls()
        late = pl.col("sent_ns") >= pl.col("shipped_ns")
        return deliveries.filter(_calm(facts)).join(shipped, on="order_id").filter(late)

    refused = ~pl.col("authentic") & pl.col("status").is_between(400, 499)
    cancelled = (pl.col("cancels") > 0) & (
        pl.col("cancel_ok_ns").is_not_null() | pl.col("cancelled_look").is_not_null()
    )
    told = pl.col("effect_id").is_not_null() & (pl.col("lines") != NO_LINES)
    found: dict[str, Callable[[], pl.DataFrame]] = {
        "acknowledged": lambda: orders.filter(pl.col("oks") > 0),
        "forged": lambda: deliveries.filter(~pl.col("authentic")),
        "forged and refused": lambda: deliveries.filter(refused),
        "cancelled": lambda: orders.filter(cancelled),
        "calm": lambda: deliveries.filter(_calm(facts)),
        "calm after its shipment": repeated,
        "shipped without a shop": lambda: calls.filter(pl.col("shop") == facts.name("")),
        "shipped with lines": lambda: calls.filter(told),
        "logged": lambda: states.foreign.any_own.to_frame("order_id"),
    }
    for name in EXAMPLES:
        rows = found[name]() if name in asked else None
        if rows is not None and rows.height:
            yield name, int(rows["order_id"][0])


def _calm(facts: Facts) -> pl.Expr:
    """A paid attempt that was sent, and ended, while nothing was wrong with the run."""
    there = pl.col("paid") & pl.col("sent_ns").is_not_null() & pl.col("done_ns").is_not_null()
    spans = facts.disturbed
    if spans.is_empty():
        return there
    before = pl.lit(spans["from_ns"]).search_sorted(pl.col("done_ns"), side="right")
    last_ns = pl.lit(spans["to_ns"]).gather((before.cast(pl.Int64) - 1).clip(0))
    return there & ((before == 0) | (last_ns < pl.col("sent_ns")))
