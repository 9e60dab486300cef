"""A look at the ledger has limits, whatever its query returns."""

from pathlib import Path

import pytest

from cluster import ledgers
from cluster.ledgers import LedgerReader
from cluster.postgres import Postgres
from results.errors import ClusterError

STOCK = "SELECT 'x' AS sku, generate_series(1, {rows}) AS initial, 1 AS remaining"


@pytest.mark.parametrize(("rows", "fits"), [(7, True), (10, True), (11, False), (2**31 - 1, False)])
async def test_a_query_that_returns_too_much_is_refused_before_it_fills_the_memory(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, fits: bool
) -> None:
    monkeypatch.setattr(ledgers, "ROWS_MAX", 10)
    reader = LedgerReader(postgres.dsn, {"stock": STOCK.format(rows=rows)}, tmp_path / "ledger")
    try:
        if fits:
            snapshot = await reader.snapshot("sample", timeout_seconds=10)
            assert [one.initial for one in snapshot.stock] == list(range(1, rows + 1))
        else:
            with pytest.raises(ClusterError, match="over 10 rows"):
                await reader.snapshot("sample", timeout_seconds=10)
            assert not (tmp_path / "ledger").exists()
    finally:
        await reader.close()
