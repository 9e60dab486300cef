"""The golden table, run: every schedule with one preemption each, with and without a crash.

Beside these, which must show exactly what the table says, random schedules must show nothing else:
20 seeds a cell here, `ONCEPROOF_SEEDS=100` in `make nightly`.
"""

import contextlib
import os
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from golden_table import HIGHER_ISOLATION, TABLE, Cell, Where
from interleaving import LINE, Stage

from service.database import open_pool
from service.strategies import article_shared_client, load_strategy, strategy_names

SEEDS = int(os.environ.get("ONCEPROOF_SEEDS", "20"))
RIGHT_END = {("paid", 1, 1, 1)}  # status, fulfillments, effects, movements


@contextlib.asynccontextmanager
async def _stage(dsn: str, where: Where, isolation: str) -> AsyncIterator[Stage]:
    strategy, ids, row = where
    pool = open_pool(dsn, 8, "tests stage", isolation)
    observer = await asyncpg.connect(dsn)
    try:
        yield Stage(
            load_strategy(strategy), pool, observer,
            same_id=ids == "same", row=row == "there",
            one_process=strategy == "article_shared_client",
        )  # fmt: skip
    finally:
        await observer.close()
        await pool.close(5)


async def _play(dsn: str, where: Where, isolation: str, cell: Cell) -> None:
    async with _stage(dsn, where, isolation) as stage:
        calm = crashed = await stage.every_preemption()
        if cell.crash is not None:
            crashed = await stage.every_preemption("midway", "unanswered")

    assert cell.calm == calm.codes
    assert (cell.crash or set()) == crashed.codes - calm.codes
    if not calm.codes:
        assert calm.outcomes == {"duplicate order, fulfillment requested"}
    if not (calm.codes | crashed.codes) - {"5xx"}:
        assert calm.ends == crashed.ends == RIGHT_END
        played = calm.schedules + (crashed.schedules if crashed is not calm else 0)
        assert await _units_taken(dsn) == LINE.quantity * played


async def _units_taken(dsn: str) -> int:
    observer = await asyncpg.connect(dsn)
    taken: int = await observer.fetchval("SELECT sum(initial - remaining)::bigint FROM stock")
    await observer.close()
    return taken


@pytest.fixture(autouse=True)
def _turns_instead_of_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage lets one statement run at a time, and waits at each: a lock would be one more."""
    monkeypatch.setattr(article_shared_client, "Lock", contextlib.nullcontext)


def test_the_table_has_every_strategy_in_every_cell() -> None:
    cells = {(s, i, r) for s in strategy_names() for i in ("distinct", "same")
             for r in ("there", "absent")}  # fmt: skip
    assert cells == set(TABLE), "each strategy needs its four rows in docs/exactly-once.md"


@pytest.mark.parametrize("where", TABLE, ids="-".join)
async def test_what_two_deliveries_show(service_dsn: str, where: Where) -> None:
    await _play(service_dsn, where, "read committed", TABLE[where])


@pytest.mark.parametrize("where", TABLE, ids="-".join)
async def test_what_random_schedules_show_is_in_the_table(service_dsn: str, where: Where) -> None:
    cell = TABLE[where]
    async with _stage(service_dsn, where, "read committed") as stage:
        for seed in range(SEEDS):
            dies = seed % 2 == 1
            found = await stage.walk(random.Random(f"{where}:{seed}"), may_die=dies)
            beyond = found.codes - cell.calm - ((cell.crash or set()) if dies else set())
            assert not beyond, f"seed {seed}: {beyond}"
            if not cell.calm - {"5xx"}:
                assert found.ends == RIGHT_END, f"seed {seed}"


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("where", HIGHER_ISOLATION, ids="-".join)
async def test_what_higher_isolation_changes(
    service_dsn: str, where: Where, isolation: str
) -> None:
    await _play(service_dsn, where, isolation, HIGHER_ISOLATION[where])
