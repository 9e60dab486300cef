"""What the ledger's states of a shard say: of each order number, and of the stock.

Each state is compared with its own order: whether its parts agree (A5), whether it moved what the
order has (A8), whether an acknowledged order is there (A3), whether its log is its own (A11). What
happens after a cancellation is exempt just where the judges exempt it, or less.
"""

from dataclasses import dataclass
from functools import reduce
from operator import and_

import polars as pl

from results.columns.layout import NO_LINES
from results.screen.facts import WORK, Facts
from results.screen.orders import keyed, masked


@dataclass(frozen=True)
class Foreign:
    """Log entries that were not sent for the order they stand under; whether any other was."""

    entries: pl.DataFrame  # order_id, entry (the hash of the text)
    any_own: pl.Series  # one order number with an entry of its own, or none


@dataclass(frozen=True)
class States:
    """The states of a shard, and one row for each order number."""

    rows: pl.DataFrame
    orders: pl.DataFrame
    foreign: Foreign


def compared(
    facts: Facts, rows: pl.DataFrame, orders: pl.DataFrame, deliveries: pl.DataFrame
) -> States:
    """Compare each state with its order."""
    entries, foreign = _entries(rows, deliveries)
    known = orders.select(
        "order_id", "paid", "lines", "cancelled_ns", sent_shop="shop",
        agreed=pl.col("lines") == pl.col("last_lines"),
    )  # fmt: skip
    rows = (
        rows.drop("webhook_ids")
        .join(entries, on="number", how="left", maintain_order="left")
        .join(known, on="order_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("logged", "unknown").fill_null(value=False),
            pl.col("paid").fill_null(0),
            is_paid=(pl.col("status") == facts.name("paid")).fill_null(value=False),
            asked=pl.col("fulfillments") > 0,
            moved=pl.col("movements") != NO_LINES,
            begun_ns=_gathered(facts.begun_ns, "look"),
            ended_ns=_gathered(facts.ended_ns, "look"),
            owed=_gathered(facts.canonical, "lines"),
            taken=_gathered(facts.canonical, "movements"),
            strange=(pl.col("shop") != pl.col("sent_shop")).fill_null(value=False),
        )
        .with_columns(
            exempt=(pl.col("ended_ns") >= pl.col("cancelled_ns")).fill_null(value=False),
            fits=~pl.col("moved") | (pl.col("owed") == NO_LINES)
            | (pl.col("taken") == pl.col("owed")),
        )
        .with_columns(
            torn=~_whole(facts) & ~pl.col("exempt"),
            there=pl.col("in_inbox") | _promised(facts),
        )
    )  # fmt: skip
    return States(rows, _by_order(facts, rows), foreign)


def _gathered(values: pl.Series, code: str) -> pl.Expr:
    """Look a code up in a short table."""
    return pl.lit(values).gather(pl.col(code)) if len(values) else pl.lit(None, values.dtype)


def _whole(facts: Facts) -> pl.Expr:
    """All parts that are declared are there, or none (A5)."""
    there = {
        "orders": pl.col("is_paid"), "fulfillments": pl.col("asked"),
        "movements": pl.col("moved"), "webhook_log": pl.col("logged"),
    }  # fmt: skip
    parts = [there[part] for part in WORK if facts.declares(part)]
    if not parts:
        return pl.lit(value=True)
    blind = pl.col("unknown") & ~pl.col("logged")
    have = [
        part | blind if name == "webhook_log" else part
        for name, part in zip([one for one in WORK if facts.declares(one)], parts, strict=True)
    ]
    whole = reduce(and_, have) | reduce(and_, [~part for part in parts])
    return whole & pl.col("fits") if facts.declares("movements") else whole


def _promised(facts: Facts) -> pl.Expr:
    """What an acknowledgement promises is there (A3); shipments alone are not asked for here."""
    promised = [
        pl.col(column) for column, query in (("is_paid", "orders"), ("asked", "fulfillments"))
        if facts.declares(query)
    ]  # fmt: skip
    return reduce(and_, promised, pl.lit(value=True))


def _entries(rows: pl.DataFrame, deliveries: pl.DataFrame) -> tuple[pl.DataFrame, Foreign]:
    """Whether a state's log has a paid webhook of its order, and one that nobody sent for it."""
    entries = (
        rows.select("number", "order_id", "webhook_ids")
        .filter(pl.col("webhook_ids").list.len() > 0)
        .explode("webhook_ids")
        .select("number", "order_id", entry=pl.col("webhook_ids").hash())
        .with_columns(key=keyed("entry"))
    )  # fmt: skip
    paid = deliveries.filter(pl.col("paid"))["key"].unique()
    entries = entries.with_columns(logged=pl.col("key").is_in(paid.implode()))
    others = entries.filter(~pl.col("logged"))
    strange = others.join(deliveries.select("key"), on="key", how="anti")
    by_state = entries.group_by("number").agg(pl.col("logged").any())
    unknown = strange.select("number").unique().with_columns(unknown=pl.lit(value=True))
    own = entries.filter(pl.col("logged")) if others.is_empty() else entries.join(
        strange.select("key"), on="key", how="anti"
    )  # fmt: skip
    return by_state.join(unknown, on="number", how="left"), Foreign(
        strange.select("order_id", "entry"), own["order_id"].head(1)
    )


def _by_order(facts: Facts, rows: pl.DataFrame) -> pl.DataFrame:
    asks = rows.with_columns(
        unready=~pl.col("there") & ~pl.col("exempt"),
        is_cancelled=pl.col("status") == facts.name("cancelled"),
        works=pl.col("is_paid") | pl.col("asked") | pl.col("moved"),
        done=pl.col("is_paid") | pl.col("asked"),
        twice=_gathered(facts.counted_twice, "counts"),
        once=_gathered(facts.counted_once, "counts"),
    )
    return asks.group_by("order_id").agg(
        ready_look=masked("look", "there").min(),
        unready_look=masked("look", "unready").max(),
        torn=pl.col("torn").any(),
        misfits=(~pl.col("fits")).any(),
        logged=pl.col("logged").any(),
        done_last=pl.col("done").last(),
        twice=pl.col("twice").any(),
        once_last=pl.col("once").last(),
        cancelled_look=masked("look", "is_cancelled").min(),
        paid_look=masked("look", "is_paid").max(),
        work_ns=masked("ended_ns", "works").min(),
        strange=pl.col("strange").any() | (pl.col("shop").min() != pl.col("shop").max()),
    )


def stock_changes(facts: Facts, rows: pl.DataFrame) -> pl.DataFrame:
    """What each snapshot changed of the sums: kind, look, code of the lines, how many orders.

    A state counts from its snapshot on, and no longer from the next state of its order on.
    """
    many = pl.col("order_id").is_duplicated()
    states = pl.concat(
        [
            rows.filter(~many).with_columns(until=pl.lit(None, pl.UInt32)),
            rows.filter(many).with_columns(until=pl.col("look").shift(-1).over("order_id")),
        ]
    )
    agreed = pl.col("agreed").fill_null(value=False)
    lines = pl.when(agreed).then(pl.col("lines")).otherwise(pl.lit(NO_LINES, pl.UInt32))
    either = (
        ~pl.col("is_paid")
        & (pl.col("status") != facts.name("pending")).fill_null(value=True)
        & pl.col("cancelled_ns").is_not_null()
    )
    kinds = (
        states.filter(pl.col("moved")).select("look", "until", code="movements", kind=pl.lit(0)),
        states.filter(pl.col("is_paid")).select("look", "until", code=lines, kind=pl.lit(1)),
        states.filter(either).select("look", "until", code=lines, kind=pl.lit(2)),
    )
    found = pl.concat(kinds)
    return pl.concat(
        [
            found.select("kind", "look", "code", times=pl.lit(1)),
            found.drop_nulls("until").select("kind", look="until", code="code", times=pl.lit(-1)),
        ]
    ).group_by("kind", "look", "code").agg(pl.col("times").sum())  # fmt: skip
