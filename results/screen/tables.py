"""The rows of some orders in all three tables, and the records that they stand for.

The records are those that `RunFolder.load` reads from the JSON lines, in the same order, but for
what nobody judges by: event ids, the ids of calls and of fulfillments are empty here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from results.columns.layout import OUTCOMES, TABLES, Columns, Meta
from results.records import (
    Completion,
    Fulfillment,
    Intent,
    OrderState,
    ProviderCall,
)


@dataclass(frozen=True)
class Tables:
    """Rows of deliveries, calls and states."""

    deliveries: pl.DataFrame
    calls: pl.DataFrame
    states: pl.DataFrame

    @classmethod
    def read(cls, columns: Columns, shard: int) -> "Tables":
        """A whole shard."""
        return cls(*(columns.shard(table, shard) for table in TABLES))

    @classmethod
    def none(cls) -> "Tables":
        """No rows."""
        return cls(*(pl.DataFrame(schema=schema) for schema in TABLES.values()))

    def of(self, orders: pl.Series) -> "Tables":
        """The rows of these order numbers."""
        wanted = orders.to_frame("order_id")
        return Tables(*(one.join(wanted, on="order_id", how="semi") for one in self.all))

    def without(self, orders: pl.Series) -> "Tables":
        """The rows of all others."""
        wanted = orders.to_frame("order_id")
        return Tables(*(one.join(wanted, on="order_id", how="anti") for one in self.all))

    @property
    def all(self) -> tuple[pl.DataFrame, ...]:
        """The three tables, as `TABLES` has them."""
        return self.deliveries, self.calls, self.states

    @property
    def orders(self) -> pl.Series:
        """All order numbers in them, sorted."""
        return pl.concat([one["order_id"] for one in self.all]).unique().sort()

    @classmethod
    def together(cls, parts: Iterable["Tables"]) -> "Tables":
        """The rows of several, in the order in which they were written."""
        columns = zip(*(part.all for part in (cls.none(), *parts)), strict=True)
        return cls(*(pl.concat(frames).unique("number").sort("number") for frames in columns))

    def write(self, folder: Path, name: str) -> None:
        """Keep them in files of that name."""
        for table, frame in zip(TABLES, self.all, strict=True):
            frame.write_ipc(folder / f"{name}-{table}.arrow", compression="uncompressed")

    @classmethod
    def kept(cls, folder: Path, name: str) -> "Tables":
        """What `write` kept."""
        return cls(*(pl.read_ipc(folder / f"{name}-{table}.arrow") for table in TABLES))

    def intents(self, meta: Meta) -> list[Intent]:
        """What was sent."""
        return [
            Intent(
                attempt_id=_attempt_id(row), group_id=row["group_id"],
                shop=meta.names[row["shop"]], order_id=row["order_id"],
                topic=meta.names[row["topic"]], webhook_id=row["webhook_id"], event_id="",
                copy=row["copy"], attempt=row["attempt"], authentic=row["authentic"],
                target=meta.names[row["target"]],
                lines=meta.lines[row["lines"]], intended_ns=row["intended_ns"],
                waited_ns=row["waited_ns"],
            )
            for row in self.deliveries.iter_rows(named=True)
        ]  # fmt: skip

    def completions(self) -> list[Completion]:
        """What came back."""
        return [
            Completion(
                attempt_id=_attempt_id(row), sent_ns=row["sent_ns"], done_ns=row["done_ns"],
                outcome=OUTCOMES[row["outcome"]], status=row["status"], error=row["error"],
            )
            for row in self.deliveries.iter_rows(named=True)
            if row["outcome"] is not None
        ]  # fmt: skip

    def provider_calls(self, meta: Meta) -> list[ProviderCall]:
        """What was shipped."""
        return [
            ProviderCall(
                call_id="", at_ns=row["at_ns"], shop=meta.names[row["shop"]],
                order_id=row["order_id"], key=row["key"], lines=meta.lines[row["lines"]],
                effect_id=row["effect_id"],
            )
            for row in self.calls.iter_rows(named=True)
        ]  # fmt: skip

    def order_states(self, meta: Meta) -> dict[int, list[OrderState]]:
        """What the ledger held, by the number of the snapshot."""
        found: dict[int, list[OrderState]] = {}
        for row in self.states.iter_rows(named=True):
            status = row["status"]
            state = OrderState(
                shop=meta.names[row["shop"]], order_id=row["order_id"],
                status=None if status is None else meta.names[status],
                fulfillments=(Fulfillment(id="", key=None, sent=True),) * row["fulfillments"],
                movements=meta.lines[row["movements"]], webhook_ids=tuple(row["webhook_ids"]),
                in_inbox=row["in_inbox"], counts=meta.counts[row["counts"]],
            )  # fmt: skip
            found.setdefault(row["look"], []).append(state)
        return found


def _attempt_id(row: dict[str, Any]) -> str:
    known: str | None = row["attempt_id"]
    return known if known is not None else f"{row['webhook_id']}.{row['copy']}.{row['attempt']}"
