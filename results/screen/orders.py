"""What the deliveries and the shipments of a shard say of each order number: one row for each.

`odd` marks the numbers that are not even counted in columns: two shops use one, a shipment has
another shop's name, there are two shipments, or a group of duplicates in which one copy stands
twice. They are always suspects, and their figures are taken from their records.
"""

from dataclasses import dataclass

import polars as pl

from results.anomalies.unauthenticated_effect import AWAY
from results.columns.layout import FAIL, INFO, OK
from results.history import CANCELLED, PAID
from results.screen.facts import Facts

MIXED = 0x9E3779B97F4A7C15  # odd, and without a pattern: the golden ratio in 64 bits


def masked(column: str, mask: str) -> pl.Expr:
    """The column where the mask holds, else null."""
    return pl.when(pl.col(mask)).then(pl.col(column))


def keyed(text_hash: str) -> pl.Expr:
    """One number of 64 bits for an order's number and a text of it, by the text's hash."""
    mixed = pl.col("order_id").reinterpret(signed=False) * pl.lit(MIXED, pl.UInt64)
    return pl.col(text_hash) ^ mixed


def asked(facts: Facts, rows: pl.DataFrame) -> pl.DataFrame:
    """The deliveries of a shard, with what is asked of each of them."""
    paid, cancelled = facts.name(PAID), facts.name(CANCELLED)
    return rows.with_columns(
        pl.col("outcome").fill_null(INFO),
        paid=pl.col("authentic") & (pl.col("topic") == paid),
        cancels=pl.col("authentic") & (pl.col("topic") == cancelled),
        begun_ns=pl.min_horizontal("intended_ns", "sent_ns"),
        entry=pl.col("webhook_id").hash(),
    ).with_columns(
        key=keyed("entry"),
        acked=pl.col("paid") & (pl.col("outcome") == OK),
        bad=pl.col("paid") & (pl.col("outcome") != OK),
        possible=pl.col("paid") & (pl.col("outcome") != FAIL),
    )


def by_order(facts: Facts, deliveries: pl.DataFrame) -> pl.DataFrame:
    """One row for each order number that something was sent of."""
    found = deliveries.group_by("order_id").agg(
        shop=pl.col("shop").min(),
        last_shop=pl.col("shop").max(),
        paid=pl.col("paid").sum(),
        oks=pl.col("acked").sum(),
        first_ok_ns=masked("done_ns", "acked").min(),
        intended_ns=masked("intended_ns", "paid").min(),
        possible_ns=masked("begun_ns", "possible").min(),
        lines=masked("lines", "paid").min(),
        last_lines=masked("lines", "paid").max(),
    )
    return found.join(_rare(deliveries), on="order_id", how="left")


def _rare(deliveries: pl.DataFrame) -> pl.DataFrame:
    """What few orders have: failed attempts, cancellations, forged deliveries."""
    rows = deliveries.filter(~pl.col("authentic") | pl.col("cancels") | pl.col("bad"))
    numbers = rows.select("order_id").unique()
    # The first paid attempt counts only beside a cancellation.
    firsts = deliveries.filter(pl.col("paid")).join(numbers, on="order_id", how="semi")
    begun = firsts.group_by("order_id").agg(paid_begun_ns=pl.col("begun_ns").min())
    status = pl.col("status")
    let_in = ~pl.col("authentic") & (
        status.is_between(200, 299) | ((status >= 500) & ~status.is_in(AWAY))
    )
    cancelled = pl.col("cancels") & (pl.col("outcome") != FAIL)
    return (
        rows.with_columns(let_in=let_in.fill_null(value=False), cancelled=cancelled,
                          cancel_ok=pl.col("cancels") & (pl.col("outcome") == OK))
        .group_by("order_id")
        .agg(
            bad=pl.col("bad").sum(),
            last_bad_attempt=masked("attempt", "bad").max(),
            cancels=pl.col("cancels").sum(),
            cancelled_ns=masked("begun_ns", "cancelled").min(),
            cancel_ok_ns=masked("done_ns", "cancel_ok").min(),
            forged=(~pl.col("authentic")).sum(),
            let_in=pl.col("let_in").any(),
        )
        .join(begun, on="order_id", how="left")
    )  # fmt: skip


def shipments(calls: pl.DataFrame) -> pl.DataFrame:
    """One row for each order number that was shipped."""
    return (
        calls.filter(pl.col("effect_id").is_not_null())
        .group_by("order_id")
        .agg(
            effects=pl.len(),
            shipped_ns=pl.col("at_ns").min(),
            shipped_lines=pl.col("lines").first(),
            shipped_shop=pl.col("shop").first(),
        )
    )


@dataclass(frozen=True)
class Groups:
    """The duplicates of a shard: how many groups, how many overlapped, and which are odd."""

    groups: pl.DataFrame  # order_id, overlapped
    odd: pl.Series


def groups(deliveries: pl.DataFrame) -> Groups:
    """First attempts of paid deliveries that were released together."""
    rows = deliveries.filter(
        pl.col("paid") & (pl.col("attempt") == 1) & (pl.col("group_id") != "")
    ).select("order_id", "copy", "sent_ns", "done_ns", text=pl.col("group_id").hash())
    rows = rows.with_columns(group=keyed("text"))
    by_group = rows.group_by("group").agg(
        pl.col("order_id").first(),
        size=pl.len(),
        low=pl.col("copy").min(),
        high=pl.col("copy").max(),
        sent=pl.col("sent_ns").count(),
        begin=pl.col("sent_ns").first(),
        end=pl.col("done_ns").first(),
        other_begin=pl.col("sent_ns").last(),
        other_end=pl.col("done_ns").last(),
    ).filter(pl.col("size") > 1)  # fmt: skip
    pairs = by_group.filter((pl.col("size") == 2) & (pl.col("low") != pl.col("high")))
    first = (pl.col("begin") < pl.col("other_begin")) | (
        (pl.col("begin") == pl.col("other_begin")) & (pl.col("end") <= pl.col("other_end"))
    )
    overlapped = pairs.select(
        "order_id",
        overlapped=(pl.col("sent") == 2)
        & pl.when(first).then(pl.col("other_begin") < pl.col("end"))
        .otherwise(pl.col("begin") < pl.col("other_end")),
    )  # fmt: skip
    more, odd = _more(rows, by_group.filter(pl.col("size") > 2))
    alike = by_group.filter((pl.col("size") == 2) & (pl.col("low") == pl.col("high")))
    return Groups(pl.concat([overlapped, more]), pl.concat([odd, alike["order_id"]]).unique())


def _more(rows: pl.DataFrame, large: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Groups of three or more: they overlap if one begins before all earlier ones have ended."""
    own = rows.join(large.select("group"), on="group", how="semi")
    copies = own.group_by("group").agg(
        pl.col("order_id").first(), alike=pl.col("copy").n_unique() < pl.len()
    )
    ordered = own.drop_nulls(["sent_ns", "done_ns"]).sort("group", "sent_ns", "done_ns")
    earlier = pl.col("done_ns").cum_max().shift(1).over("group")
    late = (
        ordered.with_columns(overlapped=pl.col("sent_ns") < earlier)
        .group_by("group").agg(pl.col("overlapped").any())
    )  # fmt: skip
    found = copies.filter(~pl.col("alike")).join(late, on="group", how="left")
    return (
        found.select("order_id", pl.col("overlapped").fill_null(value=False)),
        copies.filter(pl.col("alike"))["order_id"],
    )
