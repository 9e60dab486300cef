"""What must not be in the log of our Postgres, nor in its environment."""

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import psutil
import pytest

from cluster.journal import Journal, read_journal
from cluster.postgres import Postgres
from results.footprint import Spawned

SECRET = "hush"
PREPARE = """
    CREATE TABLE t (id int PRIMARY KEY, note text CHECK (note <> 'no hush'));
    INSERT INTO t VALUES (1, 'a hush'), (2, 'b hush');
    CREATE UNIQUE INDEX ON t (note);
    CREATE FUNCTION complain() RETURNS void LANGUAGE plpgsql AS
        $$BEGIN RAISE WARNING 'hush'; RAISE EXCEPTION 'hush' USING DETAIL = 'hush'; END$$;
"""
WRONG = (
    "INSERT INTO t VALUES (3, 'a hush')",
    "INSERT INTO t VALUES (4, 'no hush')",
    "INSERT INTO t VALUES ('hush', '')",
    "SELECT 'hush'::int",
    "SELECT '{hush'::jsonb",
    "SELECT 'hush' FROM nowhere",
    "SELECT 'hush",
    "SELECT complain()",
    "SELECT pg_sleep(1) /* hush */",
)


async def test_no_value_is_in_the_log_of_the_database(
    postgres: Postgres, journal: Journal, tmp_path: Path
) -> None:
    one, other = [await asyncpg.connect(postgres.dsn) for _ in range(2)]
    try:
        await one.execute(PREPARE)
        await one.execute("SET statement_timeout = '200ms'")
        for statement in WRONG:
            with pytest.raises(asyncpg.PostgresError):
                await one.execute(statement)
            with pytest.raises(asyncpg.PostgresError):
                await one.fetch(statement)
        await one.execute("RESET statement_timeout")
        with pytest.raises(asyncpg.PostgresError):
            await one.execute("INSERT INTO t VALUES ($1, $2)", 5, "a hush")
        with pytest.raises(asyncpg.PostgresError):
            await one.fetch("SELECT $1::text::int", "hush")
        await deadlock(one, other, tmp_path / "postgres" / "postgres.log")
        await one.execute("SELECT pg_terminate_backend($1), 'hush'", other.get_server_pid())
    finally:
        one.terminate()
        other.terminate()
    with contextlib.suppress(asyncpg.PostgresError):
        await asyncpg.connect(postgres.dsn.replace("onceproof@", "hushhush:hush@"))
    await postgres.stop()
    said = (tmp_path / "postgres" / "postgres.log").read_text()
    assert "terminating connection" in said
    assert SECRET not in said.replace('role "hushhush"', "")


async def deadlock(one: asyncpg.Connection, other: asyncpg.Connection, log: Path) -> None:
    """Wait for a row until the log says so, then until each waits for the other's."""
    await one.execute("BEGIN; UPDATE t SET note = 'c hush' WHERE id = 1")
    await other.execute("BEGIN; UPDATE t SET note = 'd hush' WHERE id = 2")
    waiting = asyncio.create_task(other.execute("UPDATE t SET note = 'e hush' WHERE id = 1"))
    async with asyncio.timeout(10):
        while "still waiting for" not in log.read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    closing = one.execute("UPDATE t SET note = 'f hush' WHERE id = 2")
    found = await asyncio.gather(closing, waiting, return_exceptions=True)
    assert any(isinstance(error, asyncpg.DeadlockDetectedError) for error in found)
    await one.execute("ROLLBACK")


async def test_the_database_inherits_nothing_that_it_does_not_need(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ONCEPROOF_DATABASE_URL", "PGPASSWORD", "SOME_TOKEN", "ONCEPROOF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    server = await Postgres.start(journal=journal, folder=tmp_path)
    try:
        (pid,) = [one.pid for one in read_journal(journal.path) if isinstance(one, Spawned)]
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        assert family[0].environ()["ONCEPROOF_RUN"] == journal.owner
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                assert SECRET not in str(process.environ()) + str(process.cmdline())
    finally:
        await server.stop()
