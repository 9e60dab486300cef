"""What the screen knows of a run before it looks at single orders.

Which judges have their inputs is asked with the judges' own `needs`, of a bundle that holds the
small files only: none of these needs depends on an order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from results.anomalies import needs
from results.anomalies.miscounted_effect import declared as declared_counts
from results.bundle import Bundle
from results.columns.layout import NO_LINES, Columns, Meta
from results.health import Health

WORK = ("orders", "fulfillments", "movements", "webhook_log")
NOBODY = 65_535  # a code that no name has


@dataclass(frozen=True)
class Facts:
    """A run's columns, and its small files as a bundle without any order."""

    columns: Columns
    meta: Meta
    frame: Bundle

    @cached_property
    def names(self) -> dict[str, int]:
        """Codes of shops, topics and statuses."""
        return {name: code for code, name in enumerate(self.meta.names)}

    def name(self, text: str) -> int:
        """Its code; `NOBODY` where nothing has that name."""
        return self.names.get(text, NOBODY)

    def declares(self, query: str) -> bool:
        """Whether the service declares it."""
        return self.frame.declares(query)

    @cached_property
    def canonical(self) -> pl.Series:
        """By the code of some lines the code of the same lines in a fixed order."""
        first: dict[Any, int] = {}
        codes = []
        for code, lines in enumerate(self.meta.lines):
            key = tuple(sorted((line.sku, line.quantity) for line in lines))
            codes.append(first.setdefault(key, code))
        return pl.Series(codes or [NO_LINES], dtype=pl.UInt32)

    @cached_property
    def counted_twice(self) -> pl.Series:
        """By the code of some counts: whether one of them is above 1."""
        return pl.Series([any(one.times > 1 for one in found) for found in self.meta.counts]
                         or [False], dtype=pl.Boolean)  # fmt: skip

    @cached_property
    def counted_once(self) -> pl.Series:
        """By the code of some counts: whether all that is declared is there once."""
        asked = set(declared_counts(self.frame))
        return pl.Series(
            [asked <= {one.name for one in found if one.times == 1} for found in self.meta.counts]
            or [not asked], dtype=pl.Boolean,
        )  # fmt: skip

    @cached_property
    def begun_ns(self) -> pl.Series:
        """When each snapshot was begun."""
        return pl.Series([one.begun_ns for one in self.frame.snapshots], dtype=pl.Int64)

    @cached_property
    def ended_ns(self) -> pl.Series:
        """When each snapshot was ended."""
        return pl.Series([one.ended_ns for one in self.frame.snapshots], dtype=pl.Int64)

    @cached_property
    def disturbed(self) -> pl.DataFrame:
        """The times in which something was wrong with the run."""
        spans = Health.of(self.frame).disturbed
        return pl.DataFrame(
            {
                "from_ns": [begin_ns for begin_ns, _ in spans],
                "to_ns": [min(end_ns, 2**63 - 1) for _, end_ns in spans],
            },
            schema={"from_ns": pl.Int64, "to_ns": pl.Int64},
        )

    @cached_property
    def ledger_judged(self) -> bool:
        """Whether snapshots are compared with what was sent."""
        return not needs.first(needs.snapshots(self.frame), needs.whole_history(self.frame))

    @cached_property
    def ended(self) -> bool:
        """Whether what is not there at the end proves something."""
        return needs.ended(self.frame) is None

    @cached_property
    def lost_judged(self) -> bool:
        """Whether an order without a shipment lacks one."""
        return self.ended and needs.whole_witness(self.frame) is None

    @cached_property
    def told(self) -> bool:
        """Whether any call of the provider has lines."""
        return self._any("calls", pl.col("lines") != NO_LINES)

    @cached_property
    def spelled(self) -> bool:
        """Whether an attempt id is not made from webhook id, copy and attempt."""
        return self._any("deliveries", pl.col("attempt_id").is_not_null())

    def _any(self, table: str, condition: pl.Expr) -> bool:
        parts = self.columns.path.glob(f"{table}-*.parquet")
        return any(pl.scan_parquet(part).select(condition.any()).collect().item() for part in parts)

    @cached_property
    def traced(self) -> tuple[pl.Series, pl.Series]:
        """The ids that the wire's trace carries: as texts, and those that are numbers."""
        texts = {key for one in self.frame.statements for key in one.keys}
        return pl.Series(sorted(texts), dtype=pl.String), pl.Series(
            sorted(set(_numbers(texts))), dtype=pl.Int64
        )


def _numbers(texts: Iterable[str]) -> Iterable[int]:
    for text in texts:
        if text.isascii() and text.lstrip("-").isdigit():
            number = int(text)
            if str(number) == text and abs(number) < 2**63:
                yield number
