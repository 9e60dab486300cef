"""A quick look at one order in the ledger: all declared queries in one round trip.

`LedgerReader` reads everything, as a judge must; whoever looks after every COMMIT of ten thousand
schedules asks for one order only. Postgres pushes the condition into the service's own SELECTs,
and one statement is one snapshot.

Limits: the stock is not looked at (it has no order); rows come as JSON, so numbers beyond 2^53 stay
exact only because Python reads JSON's integers as they are.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from cluster.ledgers import group_by_order
from results.records import OrderState, Snapshot

NUMBERS = ("int8[]", "int4[]", "numeric[]")
STATEMENT = "SELECT {parts}"
PART = (
    "(SELECT coalesce(json_agg(row_to_json(looked)), '[]'::json) FROM"
    " (SELECT * FROM ({sql}) AS ledger WHERE ledger.order_id = ANY($1)) AS looked)"
    " AS {name}"
)


class OrderLook:
    """Looks at single orders over one connection."""

    def __init__(self, connection: "asyncpg.Connection[Any]", queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = {name: sql for name, sql in queries.items() if name != "stock"}
        self._prepared: Any = None
        self._as_text = False

    async def at(self, orders: Sequence[tuple[str, int]]) -> Snapshot:
        """What the ledger holds of these orders, each by its shop and id; PostgresError."""
        if self._prepared is None:
            await self._prepare()
        begun_ns = time.monotonic_ns()
        numbers: list[Any] = [order_id for _, order_id in orders]
        row = await self._prepared.fetchrow([*map(str, numbers)] if self._as_text else numbers)
        ended_ns = time.monotonic_ns()
        states = group_by_order({name: json.loads(row[name]) for name in self._queries})
        return Snapshot(
            begun_ns=begun_ns, ended_ns=ended_ns, reason="hold", stock=(),
            orders=tuple(
                states.get(key) or OrderState(shop=key[0], order_id=key[1], status=None)
                for key in orders
            ),
        )  # fmt: skip

    async def _prepare(self) -> None:
        """A service may keep its ids as texts; Postgres says which it is."""
        parts = ", ".join(
            PART.format(sql=sql.rstrip().rstrip(";"), name=name)
            for name, sql in self._queries.items()
        )
        self._prepared = await self._connection.prepare(STATEMENT.format(parts=parts))
        (ids,) = self._prepared.get_parameters()
        self._as_text = ids.name not in NUMBERS
