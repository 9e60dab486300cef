"""Traces made by hand: statements in a short form, one flight each, ten nanoseconds apart."""

from collections.abc import Sequence
from typing import NamedTuple

from results.lint.traced import PLAIN, Attempt, Catalogue, Copy, Row, Traced, Unique
from results.records import StatementTrace

ORDER = 910000000000000042
FIRST = "6f1c9f0e-3f0a-4a51-9d5c-7f7a3b1c2d3e"
OTHER = "0b7d2c1a-9c55-4e0e-8a36-55d0c2b1f00d"
SHOP = "‹4›"
KEYS = Catalogue(
    unique=(
        Unique("orders", frozenset({"shop", "order_id"})),
        Unique("log", frozenset({"webhook_id"})),
        Unique("shipments", frozenset({"key"})),
    )
)


class Said(NamedTuple):
    """One flight: its text, what it was bound to, and its command tag or error."""

    sql: str
    tag: str
    values: tuple[str, ...] = ()


def by_order(sql: str, tag: str) -> Said:
    """$1 is the shop, $2 the order."""
    return Said(sql, tag, (SHOP, str(ORDER)))


def by_webhook(sql: str, tag: str, webhook: str = FIRST) -> Said:
    """$1 is the webhook id, $2 the order."""
    return Said(sql, tag, (webhook, str(ORDER)))


BEGIN, COMMIT = Said("BEGIN;", "BEGIN"), Said("COMMIT;", "COMMIT")
CHECK = by_order("SELECT status FROM orders WHERE shop = $1 AND order_id = $2", "SELECT 1")
MISSED = CHECK._replace(tag="SELECT 0")
LOCK = CHECK._replace(sql=f"{CHECK.sql} FOR UPDATE")
ADVISORY = by_order("SELECT pg_advisory_xact_lock(hashtext($1 || $2))", "SELECT 1")
PAY = by_order("UPDATE orders SET status = 'paid' WHERE shop = $1 AND order_id = $2", "UPDATE 1")
PAY_PENDING = PAY._replace(sql=f"{PAY.sql} AND status = 'pending'")
UPSERT = by_order(
    "INSERT INTO orders (shop, order_id) VALUES ($1, $2)"
    " ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid'", "INSERT 0 1",
)  # fmt: skip
DECIDE = UPSERT._replace(sql=f"{UPSERT.sql} WHERE orders.status = 'pending'")
SHIP = by_order("INSERT INTO shipments (shop, order_id) VALUES ($1, $2)", "INSERT 0 1")
KNOWN = by_webhook("SELECT webhook_id FROM log WHERE webhook_id = $1", "SELECT 0")
LOG = by_webhook("INSERT INTO log (webhook_id, order_id) VALUES ($1, $2)", "INSERT 0 1")
CLAIM = LOG._replace(sql=f"{LOG.sql} ON CONFLICT DO NOTHING")


def attempt(
    said: Sequence[Said], copy: Copy = "first", *, status: int | None = 200,
    calls: Sequence[int] = (), answered_after: int | None = None, isolation: str = PLAIN,
) -> Attempt:  # fmt: skip
    """A delivery that said this; a call at 15 lies between the first flight and the second."""
    flights, state = [], "I"
    for index, one in enumerate(said):
        before = state
        state = (
            "T"
            if one.sql.startswith("BEGIN")
            else "I"
            if one == COMMIT or one.tag == "ROLLBACK"
            else state
        )
        at = 10 * (index + 1)
        flights.append(
            StatementTrace(
                replica="web-0", connection=1, backend_pid=1, flight=index, sql=(one.sql,),
                parameters=(one.values,), keys=one.values[-2:], received_ns=at, forwarded_ns=at + 1,
                replied_ns=at + 3, returned_ns=at + 4, state_before=before, state_after=state,
                tags=(one.tag,), sqlstate=None,
            )
        )  # fmt: skip
    count = len(said) if answered_after is None else answered_after
    return Attempt(
        copy=copy, order_id=ORDER, webhook_id=OTHER if copy == "distinct" else FIRST,
        statements=tuple(flights), calls_ns=tuple(calls), status=status,
        answered_ns=10 * count + 5, isolation=isolation,
    )  # fmt: skip


def traced(
    first: Attempt, *, same: Sequence[Said] = (), distinct: Sequence[Said] = (),
    row: Row = "present", catalogue: Catalogue = KEYS,
) -> Traced:  # fmt: skip
    """The first delivery, and what its copies said."""
    return Traced(
        row=row, first=first, same=attempt(same, "same"),
        distinct=attempt(distinct, "distinct"), catalogue=catalogue,
    )  # fmt: skip
