"""The same mixed workload with and without the wire: what comes back must be identical."""

import asyncio
import io
import re
import shutil
import statistics
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from cluster.postgres_binaries import find_binaries
from cluster.wire.client import Wire
from cluster.wire.rules import Rule
from tests.cluster.wire.conftest import TOKEN, Bench, eventually, started_wire

BIG = 5_000_000
ADDED_MAX_US = 3_000  # some 200 on a quiet machine; a timer would add more
Workload = Callable[[str], Awaitable[list[Any]]]


async def refused(work: Awaitable[Any]) -> str:
    try:
        return f"no error: {await work}"
    except (asyncpg.PostgresError, psycopg.Error) as error:
        return f"{error.sqlstate}"  # type: ignore[union-attr]


async def with_asyncpg(dsn: str) -> list[Any]:
    seen: list[Any] = []
    connection = await asyncpg.connect(dsn)
    other = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TEMP TABLE t (id bigint, body text, data jsonb)")
        seen.append(await connection.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'); SELECT 1"))
        await connection.executemany(
            "INSERT INTO t VALUES ($1, $2, $3)", [(n, "x" * n, '{"n": 1}') for n in range(3, 400)]
        )
        seen.append(await connection.fetch("SELECT * FROM t WHERE id < $1 ORDER BY id", 30))
        seen.append(await refused(connection.fetch("SELECT 1 / $1::int", 0)))
        seen.append(await refused(connection.execute("SELECT nothing")))
        seen.append(await refused(connection.fetch("SELECT $1::int", "x")))
        async with connection.transaction():
            cursor = await connection.cursor("SELECT id FROM t ORDER BY id")
            seen.append([await cursor.fetch(7), await cursor.fetch(5)])
        out = io.BytesIO()
        seen.append(await connection.copy_from_query("SELECT * FROM t ORDER BY 1", output=out))
        seen.append(out.getvalue())
        seen.append(await connection.copy_to_table("t", source=io.BytesIO(b"9\ty\t{}\n" * 50_000)))
        seen.append(
            await refused(connection.copy_to_table("t", source=io.BytesIO(b"no number\ty\t{}\n")))
        )
        seen.append(len(await connection.fetchval("SELECT repeat('z', $1::int)", BIG)))
        seen.append(await connection.fetchval("SELECT length($1::text)", "ü" * BIG))
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await connection.add_listener("news", lambda *event: heard.put_nowait(event[2:]))
        await other.execute("NOTIFY news, 'from afar'")
        seen.append(await asyncio.wait_for(heard.get(), 5))
        await connection.remove_listener("news", lambda *_: None)
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.2)
        seen.append(await connection.fetchval("SELECT count(*) FROM t"))
        await connection.reset()
    finally:
        await connection.close()
        await other.close()
    async with asyncpg.create_pool(dsn, min_size=2, max_size=4) as pool:
        many = (pool.fetchval("SELECT $1::int", n) for n in range(50))
        seen.append(await asyncio.gather(*many))
    return seen


async def with_psycopg(dsn: str) -> list[Any]:
    seen: list[Any] = []
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=2)
    async with connection:
        await connection.execute("CREATE TEMP TABLE t (id bigint, body text)")
        for n in range(20):
            await connection.execute("INSERT INTO t VALUES (%s, %s)", (n, b"\0\1".hex() * n))
        rows = connection.cursor(binary=True)
        await rows.execute("SELECT * FROM t WHERE id > %s ORDER BY id", (5,))
        seen.append(await rows.fetchall())
        copying = connection.cursor()
        async with copying.copy("COPY t FROM STDIN") as copy:
            for n in range(3000):
                await copy.write_row((n, "copied"))
        seen.append(copying.statusmessage)
        async with copying.copy("COPY (SELECT * FROM t ORDER BY 1, 2) TO STDOUT") as copy:
            seen.append(b"".join([bytes(part) async for part in copy]))

        async def wrong_copy() -> None:
            async with copying.copy("COPY t FROM STDIN") as copy:
                await copy.write(b"no number\ty\n")

        seen.append(await refused(wrong_copy()))
        async with connection.pipeline() as pipeline:
            cursors = [await connection.execute("SELECT %s::int", (n,)) for n in range(30)]
            await pipeline.sync()
            late = await connection.execute("SELECT 'after the sync'")
            seen.append([await cursor.fetchone() for cursor in cursors])
            seen.append(await late.fetchone())

        async def failing_pipeline() -> None:
            async with connection.pipeline():
                await connection.execute("INSERT INTO t VALUES (%s, 'lost')", (77_000,))
                await connection.execute("SELECT 1 / %s::int", (0,))
                await connection.execute("INSERT INTO t VALUES (%s, 'lost')", (77_001,))

        seen.append(await refused(failing_pipeline()))
        async with connection.pipeline(), connection.transaction():
            await connection.execute("INSERT INTO t VALUES (%s, 'kept')", (78_000,))
        cursor = await connection.execute("SELECT id FROM t WHERE id > 70000")
        seen.append(await cursor.fetchall())
        cursor = await connection.execute("SELECT repeat('z', %s)", (BIG,))
        seen.append(len((await cursor.fetchone() or [""])[0]))
        await connection.execute("LISTEN news")
        await connection.execute("NOTIFY news, 'to myself'")
        async for event in connection.notifies(timeout=5, stop_after=1):
            seen.append((event.channel, event.payload))
        sleep = asyncio.create_task(refused(connection.execute("SELECT pg_sleep(30)")))
        await asyncio.sleep(0.2)  # let it run: a cancel of nothing is lost
        await connection.cancel_safe(timeout=5)
        seen.append(await asyncio.wait_for(sleep, 5))
    return seen


PSQL = r"""
\set VERBOSITY verbose
SELECT 1 AS one; SELECT 2 \; SELECT 3;
CREATE TEMP TABLE t (id int, body text);
\copy t FROM PSTDIN
1	a
2	b
\.
INSERT INTO t SELECT n, repeat('x', n) FROM generate_series(3, 50) n RETURNING id;
SELECT * FROM nothing;
BEGIN; SELECT 1/0; SELECT 2; COMMIT;
COPY t TO STDOUT;
LISTEN news; NOTIFY news, 'hello';
SELECT md5(repeat('z', 5000000)), repeat('y', 100000);
\d t
"""


async def with_psql(dsn: str) -> list[Any]:
    psql = shutil.which("psql") or str(find_binaries().folder / "psql")
    done = await asyncio.to_thread(
        subprocess.run, [psql, "-X", "-a", dsn], input=PSQL.replace("PSTDIN", "STDIN").encode(),
        capture_output=True, timeout=60,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert b"hello" in output
    # When psql looks for a notification is its own affair. Temporary schemas differ, and with
    # their length the blanks that centre a title.
    output = re.sub(rb"Asynchronous notification.*\n", b"", output)
    return [re.sub(rb" *Table \"pg_temp_\d+", b"", output), done.returncode]


@pytest.mark.parametrize("workload", [with_asyncpg, with_psycopg, with_psql])
@pytest.mark.parametrize("armed", [False, True], ids=["pass", "armed"])
async def test_a_mixed_workload_sees_no_difference(
    bench: Bench, workload: Workload, armed: bool
) -> None:
    direct = await asyncio.wait_for(workload(bench.dsn()), 60)
    if armed:  # rules that watch everything and hold nothing must not change it either
        for point in ("before", "before-commit", "reply"):
            sql = "." if point == "reply" else None
            rule = Rule(rule_id=point, point=point, sql=sql, occurrence=10**6)  # type: ignore[arg-type]
            await bench.wire.arm(rule)

    through = await asyncio.wait_for(workload(bench.dsn("web-0")), 60)

    assert through == direct


async def test_a_pipelined_block_in_one_flight_is_held_before_its_commit(bench: Bench) -> None:
    await bench.wire.arm(Rule(rule_id="r", point="before-commit", lease_seconds=20))
    connection = await psycopg.AsyncConnection.connect(bench.dsn("web-0"), autocommit=True)

    async def work() -> None:
        async with connection.pipeline():
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO wired (id) VALUES (%s)", (1,))
            await connection.execute("COMMIT")

    async with connection:
        task = asyncio.create_task(work())
        park = await bench.wire.next_park("r", timeout_seconds=5)
        assert park is not None
        assert await bench.count() == 0
        (state,) = (await bench.wire.state()).connections
        assert state.state == "T"
        await bench.wire.release(park.hold_id, "pass")
        await asyncio.wait_for(task, 5)
    assert await bench.count() == 1


async def exchange(port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_encryption_is_declined_and_direct_tls_is_closed(bench: Bench) -> None:
    port = bench.ports["web-0"]
    assert await exchange(port, b"\x16\x03\x01\x02\x00\x01") == b""
    ssl, gss = struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104)
    answer = await exchange(port, ssl, gss, struct.pack("!II", 3, 196608))
    assert answer.startswith(b"NNE")
    assert b"08P01" in answer


async def test_a_database_that_refuses_is_reported_as_postgres_would(
    tmp_path: Path, closed_port: int
) -> None:
    async with started_wire(f"127.0.0.1:{closed_port}", tmp_path / "wire.jsonl") as control_port:
        wire = await Wire.connect("127.0.0.1", control_port, TOKEN)
        port = await wire.open_port("web-0")
        with pytest.raises(asyncpg.PostgresConnectionError, match="no database"):
            await asyncpg.connect(f"postgresql://x:y@127.0.0.1:{port}/z", ssl=False)
        await wire.close()


async def test_a_wrong_database_name_gets_postgres_own_words(bench: Bench) -> None:
    base, _, _ = bench.dsn("web-0").rpartition("/")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(f"{base}/there_is_none")


async def test_a_longer_cancel_key_is_forwarded_whole(tmp_path: Path) -> None:
    """Protocol 3.2: a key of 32 bytes, played by a server of the test's own."""
    key, seen = bytes(range(32)), asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!I", await reader.readexactly(4))[0]
        message = await reader.readexactly(length - 4)
        await seen.put(message)
        if message[:4] == struct.pack("!I", 80877102):
            writer.close()
            return
        writer.write(b"R" + struct.pack("!II", 8, 0) + b"K" + struct.pack("!II", 40, 7) + key)
        writer.write(b"Z" + struct.pack("!I", 5) + b"I")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()[1]
    async with started_wire(f"127.0.0.1:{upstream}", tmp_path / "wire.jsonl") as control_port:
        wire = await Wire.connect("127.0.0.1", control_port, TOKEN)
        port = await wire.open_port("web-0")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(struct.pack("!II", 16, 196610) + b"user\0x\0\0")
        answer = await asyncio.wait_for(reader.readexactly(9 + 41 + 6), 5)
        assert key in answer
        await asyncio.wait_for(seen.get(), 5)
        request = struct.pack("!III", 44, 80877102, 7) + key
        assert await exchange(port, request) == b""
        assert await asyncio.wait_for(seen.get(), 5) == request[4:]
        writer.close()
        await wire.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("replica", ["web-0", None])
async def test_a_server_that_ends_is_seen_as_its_end(bench: Bench, replica: str | None) -> None:
    """With libpq, which passes the server's last words on; asyncpg may only say that it is gone."""
    client = await psycopg.AsyncConnection.connect(bench.dsn(replica), autocommit=True)
    async with client, bench.client(None) as direct, asyncio.timeout(10):
        pid = client.info.backend_pid
        sleeps = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1"
        asleep = asyncio.ensure_future(client.execute("SELECT pg_sleep(30)"))
        await eventually(lambda: direct.fetchval(sleeps, pid))
        await direct.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(psycopg.errors.AdminShutdown):
            await asleep


async def test_a_client_that_does_not_read_does_not_fill_the_wire(bench: Bench) -> None:
    """Ten times what all buffers hold is asked for; the server must be stopped by back-pressure."""
    psutil = pytest.importorskip("psutil")
    family = [p for p in psutil.Process().children() if "cluster.wire" in " ".join(p.cmdline())]
    before = family[0].memory_info().rss
    connection = await psycopg.AsyncConnection.connect(bench.dsn("web-0"), autocommit=True)
    connection.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 300)")
    connection.pgconn.flush()
    pid = connection.info.backend_pid
    async with bench.client(None) as direct:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            wait = await direct.fetchval(
                "SELECT wait_event FROM pg_stat_activity WHERE pid = $1", pid
            )
            if wait == "ClientWrite":
                break
            await asyncio.sleep(0.02)
        assert wait == "ClientWrite"
    assert family[0].memory_info().rss - before < 60_000_000
    connection.pgconn.finish()


@pytest.mark.slow
async def test_the_added_round_trip_is_measured(bench: Bench, capsys: Any) -> None:
    async def median(dsn: str) -> float:
        connection = await asyncpg.connect(dsn)
        took = []
        for _ in range(1500):
            begun = time.perf_counter()
            await connection.fetchval("SELECT $1::int", 1)
            took.append(time.perf_counter() - begun)
        await connection.close()
        return statistics.median(took[300:]) * 1e6

    direct, through = await median(bench.dsn()), await median(bench.dsn("web-0"))
    with capsys.disabled():
        line = f"round trip: direct {direct:.0f} us, through the wire {through:.0f} us"
        print(f"\n{line}, ratio {through / direct:.2f}")
    assert through < direct + ADDED_MAX_US, "some timer, or Nagle's algorithm, is in the way"
