"""Which order numbers some judge might accuse: one condition for each way to be accused.

Each condition names the codes that it stands for. It holds for every order that such a judge can
accuse, and for as few others as columns can tell; `odd` ones are suspects whatever they did.
"""

from functools import reduce
from operator import or_

import polars as pl

from results.anomalies.miscounted_effect import declared
from results.anomalies.retry_amplification import REFUSALS_MIN
from results.columns.layout import NO_LINES
from results.health import CALM_ATTEMPTS_MIN
from results.screen.facts import Facts


def odd(facts: Facts) -> pl.Expr:
    """Numbers that columns do not even count."""
    other_shop = (pl.col("shipped_shop") != pl.col("shop")) & (
        pl.col("shipped_shop") != facts.name("")
    )
    return _any(
        pl.col("shop") != pl.col("last_shop"),
        pl.col("effects") > 1,  # A1, and A13 by it
        other_shop,
        pl.col("odd_group"),
        pl.col("strange"),
    )


def suspect(facts: Facts) -> pl.Expr:
    """Numbers of which a judge has to see the records."""
    return _any(
        *_sent(facts),
        *_shipped(facts),
        *(_held(facts) if facts.frame.snapshots else ()),
        pl.col("traced"),  # A3, A13, A14: all that the wire's trace names
    )


def _any(*conditions: pl.Expr) -> pl.Expr:
    """Whether one of them holds; what is not known does not."""
    return reduce(or_, [one.fill_null(value=False) for one in conditions])


def _sent(facts: Facts) -> list[pl.Expr]:
    given_up = (pl.col("last_bad_attempt") >= facts.frame.manifest.attempts) & (
        pl.col("bad") >= CALM_ATTEMPTS_MIN
    )
    return [
        given_up,  # A6, A7, A9
        pl.col("bad") >= REFUSALS_MIN,  # A16
        pl.col("let_in"),  # A15
        pl.col("lines") != pl.col("last_lines"),  # nobody knows what such an order has
    ]


def _shipped(facts: Facts) -> list[pl.Expr]:
    shipped = pl.col("effects") > 0
    owed = pl.lit(facts.canonical).gather(pl.col("lines"))
    sent = pl.lit(facts.canonical).gather(pl.col("shipped_lines"))
    untold = pl.lit(not facts.told) & (sent == NO_LINES)
    conditions = [
        shipped & pl.col("possible_ns").is_null(),  # A4, A12, A15
        pl.col("possible_ns") > pl.col("shipped_ns"),
        shipped & (pl.col("cancel_ok_ns") < pl.col("paid_begun_ns")),  # A10
        (owed != NO_LINES) & (sent != owed) & ~untold,  # A11
    ]
    if facts.lost_judged:
        unshipped = pl.col("effects").is_null()
        conditions.append(
            (pl.col("oks") > 0) & unshipped & pl.col("cancelled_ns").is_null()  # A2
        )
    return conditions


def _held(facts: Facts) -> list[pl.Expr]:
    """What the ledger shows; `paid` orders of the traffic only, but for cancelled and forged."""
    of_traffic = pl.col("paid") > 0
    working = pl.col("possible_ns").is_null() | (pl.col("work_ns") < pl.col("possible_ns"))
    conditions = [
        pl.col("cancelled_look") < pl.col("paid_look"),  # A10, of cancelled ones
        (pl.col("forged") > 0) & pl.col("work_ns").is_not_null() & working,  # A15
        of_traffic & pl.col("twice"),  # A17
        pl.col("logged") & ~pl.col("done_last") & pl.col("effects").is_null(),  # A9
    ]
    if facts.ended and declared(facts.frame):
        lacking = ~pl.col("once_last").fill_null(value=False)
        acked = (pl.col("oks") > 0) & pl.col("cancelled_ns").is_null()
        conditions.append(acked & lacking)  # A17
    if facts.ledger_judged:
        conditions += [
            of_traffic & pl.col("torn"),  # A5
            of_traffic & pl.col("misfits"),  # A8
            _unready(facts),  # A3
        ]
    return conditions


def _unready(facts: Facts) -> pl.Expr:
    """An acknowledged order that a later snapshot may show without its work."""
    if not (facts.declares("orders") or facts.declares("fulfillments")):
        return pl.lit(value=False)
    looks = len(facts.begun_ns)
    # The first snapshot that was begun at the acknowledgement or after it.
    look = pl.lit(facts.begun_ns).search_sorted(pl.col("first_ok_ns"), side="left")
    first = pl.when(pl.col("first_ok_ns").is_not_null()).then(look)
    ended = pl.lit(facts.ended_ns).gather(first.clip(0, looks - 1))
    void = (ended >= pl.col("cancelled_ns")).fill_null(value=False)
    late = (pl.col("ready_look") > first).fill_null(value=True)
    again = (pl.col("unready_look") > pl.col("ready_look")).fill_null(value=False)
    return (first < looks) & ~void & (late | again)
