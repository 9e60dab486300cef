"""A database of somebody's: which URLs are taken, and that nothing happens without its marker."""

from pathlib import Path

import asyncpg
import pytest

from cluster.faults.backend import server
from cluster.foreign import MARKER_SQL, ForeignUrl, allowed, has_password, require_marker
from cluster.journal import Journal
from cluster.postgres import Postgres
from results.errors import ClusterError, ConfigError

OURS = "SELECT datname FROM pg_database WHERE datname LIKE 'onceproof%'"


async def run_sql(dsn: str, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return list(await connection.fetch(statements[-1]))
    finally:
        await connection.close()


async def use(dsn: str, journal: Journal, folder: Path) -> Postgres:
    return await Postgres.start(journal=journal, folder=folder, external_dsn=dsn)


async def test_a_given_database_gets_one_of_ours_which_is_dropped_again(
    postgres: Postgres, journal: Journal, tmp_path: Path
) -> None:
    await run_sql(postgres.dsn, MARKER_SQL)
    given = await use(postgres.dsn, journal, tmp_path)
    assert given.dsn != postgres.dsn
    assert given.provider == f"external 127.0.0.1:{postgres.port}/postgres"
    assert len(await run_sql(postgres.dsn, OURS)) == 1
    with pytest.raises(ClusterError, match="did not start"):
        await given.crash()
    await given.stop()
    assert await run_sql(postgres.dsn, OURS) == []


@pytest.mark.parametrize(
    "prepared",
    [
        (),
        ("CREATE TABLE public.onceproof_allowed (database text)",),
        ("CREATE TABLE public.onceproof_allowed (allowed bool)",),
        ("CREATE TABLE public.onceproof_allowed AS SELECT 'production' AS database",),
        (MARKER_SQL, "INSERT INTO public.onceproof_allowed SELECT 'another'"),
        (MARKER_SQL, "INSERT INTO public.onceproof_allowed SELECT current_database()"),
        (MARKER_SQL, "UPDATE public.onceproof_allowed SET database = NULL"),
        ("CREATE SCHEMA other", MARKER_SQL.replace("public.", "other.")),
    ],
    ids=["none", "no row", "other columns", "another's", "two", "twice", "null", "other schema"],
)
async def test_a_database_without_the_marker_is_left_alone(
    postgres: Postgres, journal: Journal, tmp_path: Path, prepared: tuple[str, ...]
) -> None:
    await run_sql(postgres.dsn, *prepared, "SELECT 1")
    before = await run_sql(postgres.dsn, "SELECT oid, relname FROM pg_class ORDER BY oid")
    with pytest.raises(ConfigError) as caught:
        await use(postgres.dsn, journal, tmp_path)
    assert str(caught.value).endswith(MARKER_SQL)
    assert "drop it again" in str(caught.value)
    assert await run_sql(postgres.dsn, OURS) == []
    after = await run_sql(postgres.dsn, "SELECT oid, relname FROM pg_class ORDER BY oid")
    assert before == after


async def test_a_marker_that_came_with_a_template_or_a_dump_permits_nothing(
    postgres: Postgres,
) -> None:
    await run_sql(postgres.dsn.replace("/postgres", "/template1"), MARKER_SQL, "SELECT 1")
    copy = await postgres.fresh_database("copied")
    assert len(await run_sql(copy, "SELECT * FROM public.onceproof_allowed")) == 1
    with pytest.raises(ConfigError):
        await allowed(copy)


async def test_a_role_that_may_not_read_the_marker_is_told_the_grant(postgres: Postgres) -> None:
    await run_sql(postgres.dsn, MARKER_SQL, 'CREATE ROLE "the guest" LOGIN', "SELECT 1")
    guest = postgres.dsn.replace("onceproof@", "the%20guest@")
    with pytest.raises(ConfigError, match="GRANT SELECT") as caught:
        await allowed(guest)
    await run_sql(postgres.dsn, str(caught.value).rpartition("\n")[2], "SELECT 1")
    assert (await allowed(guest)).described == f"127.0.0.1:{postgres.port}/postgres"


async def test_the_marker_is_looked_up_in_public_whatever_the_search_path(
    postgres: Postgres,
) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute("CREATE SCHEMA mine; SET search_path = mine")
        await connection.execute(MARKER_SQL)
        await require_marker(connection, "here")
    finally:
        await connection.close()


async def test_a_given_database_that_refuses_says_what_to_do(
    journal: Journal, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match="Check that it runs") as caught:
        await use("postgresql://somebody:secret@127.0.0.1:1/none", journal, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "dsn", "described"),
    [
        ("postgresql://me:pw,@DB.example/x", "postgresql://me:pw,@db.example:5432/x",
         "db.example:5432/x"),
        ("postgres://h:1/x?sslmode=disable", "postgres://h:1/x?sslmode=disable", "h:1/x"),
        ("postgresql://me@[::1]/x%20y", "postgresql://me@[::1]:5432/x%20y", "[::1]:5432/x y"),
    ],
)  # fmt: skip
def test_a_url_says_all_that_drivers_would_guess(given: str, dsn: str, described: str) -> None:
    url = ForeignUrl.read(given)
    assert (url.dsn, url.described) == (dsn, described)
    assert "pw" not in repr(url) + url.described


@pytest.mark.parametrize(
    "given",
    [
        "postgresql:///x",
        "postgresql://hush@/x",
        "postgresql://h",
        "postgresql://h/",
        "postgresql://h1,h2/x",
        "postgresql://h1:1,h2:2/x",
        "postgresql://h/x?host=production",
        "postgresql://h/x?HOSTADDR=10.0.0.1",
        "postgresql://h/x?dbname=production",
        "postgresql://h/x?user=me&password=hush",
        "postgresql://h/x?service=production",
        "postgresql://h/x?port=",
        "postgresql://me@h1@h2/x",
        "postgresql://me:hu/sh@h/x",
        "postgresql://me:hu#sh@h/x",
        "postgresql://me:hu?sh@h/x",
        "postgresql://me:12/34@h/x",
        "postgresql://[h/x",
        "postgresql://h:hush/x",
        "postgresql://h:99999/x",
        "postgresql://%2Ftmp/x",
        "mysql://h/x",
        "hush",
        "",
    ],
)
def test_a_url_that_may_mean_another_database_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://user:password@host") as caught:
        ForeignUrl.read(given)
    assert "hu" not in str(caught.value)
    assert "sh@" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "carries"),
    [
        ("postgresql://me@h/x?sslmode=disable", False),
        ("postgresql://me:hush@h/x", True),
        ("postgresql://me:@h/x", True),
        ("postgresql://h/x?password=hush", True),
        ("postgresql://me:hu/sh@h/x", True),
        ("postgresql://me:hu#sh@h/x", True),
        ("postgresql://me:hush@[h/x", True),
    ],
)
def test_a_password_is_seen(given: str, carries: bool) -> None:
    assert has_password(given) is carries


async def test_a_backend_of_another_database_is_never_ended(postgres: Postgres) -> None:
    other = await asyncpg.connect(await postgres.fresh_database("somebodys"))
    mine = await asyncpg.connect(postgres.dsn)
    try:
        async with server(postgres.dsn) as asking:
            assert await asking.backend(other.get_server_pid()) is None
            assert not await asking.terminate(other.get_server_pid())
            assert await asking.terminate(mine.get_server_pid())
        assert await other.fetchval("SELECT 1") == 1
    finally:
        other.terminate()
        mine.terminate()
