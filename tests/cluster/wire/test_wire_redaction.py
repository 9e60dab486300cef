"""Real literals through a real wire: Postgres itself says what each of them means."""

import asyncio
import contextlib
import io

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from tests.cluster.wire.conftest import ORDER, Bench, eventually
from tests.cluster.wire.test_wire_gates import arm, parked
from tests.unit.wire.sql_pieces import SECRET, Piece, comments, literals

HIDDEN = SECRET.encode()


async def stored(bench: Bench) -> bytes:
    """All that the wire has written, once everything so far is in it."""
    async with bench.client() as last:
        await last.execute("SELECT 1 AS the_end")
    await eventually(lambda: b"the_end" in bench.file.read_bytes())
    return bench.file.read_bytes()


async def test_what_postgres_takes_for_a_literal_is_not_stored(bench: Bench) -> None:
    cases: list[tuple[Piece, Piece]] = []

    @settings(
        max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(literals, comments)
    def collect(literal: Piece, comment: Piece) -> None:
        cases.append((literal, comment))

    collect()
    async with bench.client() as client:
        for literal, comment in cases:
            text = f"SELECT {comment.sql} {literal.sql} AS seen"
            assert await client.fetchval(text) == literal.value, text
            await client.execute(text)
        with pytest.raises(asyncpg.PostgresSyntaxError, match="hush"):  # a literal after all
            await client.fetchval("SELECT $1$a$ hush $a$", 1)
    content = await stored(bench)
    assert content.count(b"AS seen") == 2 * len(cases)
    assert HIDDEN not in content


async def test_values_errors_copies_and_loose_sessions_are_not_stored(bench: Bench) -> None:
    async with bench.client() as client:
        await client.execute("CREATE TEMP TABLE t (id bigint PRIMARY KEY, note text)")
        await client.execute("INSERT INTO t VALUES ($1, $2)", ORDER, SECRET)
        await client.copy_records_to_table("t", records=[(1, SECRET)])
        await client.copy_to_table("t", source=io.BytesIO(b"2\thush\n"))
        await client.copy_from_query("SELECT * FROM t WHERE note = 'hush'", output=io.BytesIO())
        for wrong in (
            "INSERT INTO t VALUES (1, 'hush')",
            "SELECT 'hush'::int",
            "SELECT * FROM t WHERE note = 'hush' AND",
            "DO $$BEGIN RAISE EXCEPTION 'hush'; END$$",
            "SELECT 'hush",
            "SELECT \"open, 'hush'",
        ):
            with contextlib.suppress(asyncpg.PostgresError):
                await client.execute(wrong)
            with contextlib.suppress(asyncpg.PostgresError):
                await client.fetch(wrong)
        await client.execute("SET escape_string_warning = off")
        await client.execute("SET standard_conforming_strings = off")
        assert await client.fetchval("SELECT 'it\\' hush'") == "it' hush"
    async with bench.client() as client:
        with contextlib.suppress(asyncpg.PostgresError):
            await client.execute("ALTER ROLE onceproof SET standard_conforming_strings = off")
    try:
        async with bench.client() as client:
            assert await client.fetchval("SELECT 'it\\' hush'") == "it' hush"
    finally:
        async with bench.client(None) as direct:
            await direct.execute("ALTER ROLE onceproof RESET standard_conforming_strings")
    content = await stored(bench)
    assert HIDDEN not in content
    assert str(ORDER).encode() in content


async def test_the_park_of_a_long_flight_can_be_told(bench: Bench) -> None:
    wide = " OR ".join(f"$2 <> now()::text || {number}" for number in range(120))
    insert = f"INSERT INTO wired SELECT $1::bigint, $2::text WHERE {wide}"
    await arm(bench, "before-commit")
    async with bench.client() as client:
        rows = [(ORDER + number, "x") for number in range(600)]
        work = asyncio.create_task(client.executemany(insert, rows))
        park = await parked(bench, "before-commit", work)
        assert len(park.keys) == 600
        assert park.sql[-1].startswith("INSERT INTO wired")
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(work, 20)
    assert not bench.wire.lost.is_set()
    assert await bench.count() == 600
