"""What TLS to the database changes, and clients must not notice: its offers, and its ends.

The wheel's Postgres has no TLS, so something stands before it that ends the TLS as a managed
database does, and offers what such a one offers. `test_wire_tls.py` holds who is believed.
"""

import asyncio
import contextlib
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest

from cluster.postgres import Postgres
from cluster.wire.client import Wire
from cluster.wire.upstream import ASK_FOR_TLS, without_binding
from tests.cluster.wire.conftest import TOKEN, eventually, started_wire

PASSWORD = "of-the-tls-test"
PLAIN, BOUND = b"SCRAM-SHA-256\0", b"SCRAM-SHA-256-PLUS\0"


def offer(mechanisms: bytes) -> bytes:
    return b"R" + struct.pack("!II", 8 + len(mechanisms) + 1, 10) + mechanisms + b"\0"


def test_only_what_needs_tls_is_left_out() -> None:
    version = b"v" + struct.pack("!III", 12, 3, 0)
    assert without_binding(offer(BOUND + PLAIN)) == offer(PLAIN)
    assert (
        without_binding(version + offer(BOUND + PLAIN) + b"more")
        == version + offer(PLAIN) + b"more"
    )
    for words in (
        offer(PLAIN),
        offer(BOUND),
        b"R" + struct.pack("!II", 8, 0) + b"Z",
        b"E" + b"x" * 20,
    ):
        assert without_binding(words) == words
    for length in range(len(version + offer(BOUND + PLAIN))):
        assert without_binding((version + offer(BOUND + PLAIN))[:length]) is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
               str(key), "-out", str(file), "-subj", "/CN=localhost", "-addext",
               "subjectAltName=DNS:localhost"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl is not installed: it makes the certificate of this test")
    return file, key


@asynccontextmanager
async def managed(postgres: Postgres, certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """A port that takes TLS only, and offers channel binding beside what the server offers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(8) != ASK_FOR_TLS:
            writer.close()
            return
        writer.write(b"S")
        await writer.start_tls(context)
        inner, outer = await asyncio.open_connection(postgres.host, postgres.port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    if source is inner and offer(PLAIN) in data:
                        data = data.replace(offer(PLAIN), offer(BOUND + PLAIN))
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    server = await asyncio.start_server(serve, "localhost", 0, family=2)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@asynccontextmanager
async def role(postgres: Postgres) -> AsyncIterator[str]:
    """A role that must prove its password, which the test's server asks of nobody else."""
    direct = await asyncpg.connect(postgres.dsn)
    folder = Path(await direct.fetchval("SELECT current_setting('data_directory')"))
    access = folder / "pg_hba.conf"
    before = await asyncio.to_thread(access.read_text)
    await direct.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    await asyncio.to_thread(access.write_text, "host all guarded all scram-sha-256\n" + before)
    await direct.execute("SELECT pg_reload_conf()")
    try:
        yield "guarded"
    finally:
        await asyncio.to_thread(access.write_text, before)
        await direct.execute("SELECT pg_reload_conf()")
        await direct.execute("DROP ROLE guarded")
        await direct.close()


async def test_clients_without_tls_use_a_database_that_asks_for_it(
    postgres: Postgres, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    async with (
        role(postgres) as user,
        managed(postgres, certificate) as port,
        started_wire(f"localhost:{port}", file, "--upstream-ca", str(certificate[0])) as control,
    ):
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        through = (
            f"postgresql://{user}:{PASSWORD}@127.0.0.1:{await wire.open_port('web-0')}/postgres"
        )
        client = await asyncpg.connect(through, timeout=10)
        assert await client.fetchval("SELECT 40 + 2") == 42
        large = await client.fetchval("SELECT repeat('x', 5000000)")
        assert len(large) == 5_000_000

        def as_libpq() -> tuple[int, ...]:
            with psycopg.connect(through + "?sslmode=prefer", connect_timeout=10) as connection:
                return connection.execute("SELECT 6 * 7").fetchone()  # type: ignore[return-value]

        assert await asyncio.to_thread(as_libpq) == (42,)
        await client.close()
        await wire.close()


@pytest.mark.parametrize(
    ("host", "port_of_tls", "words"),
    [
        ("localhost", False, "TLS"),  # it is not spoken to in the clear instead
        ("127.0.0.1", True, "ertificate"),  # the name is not that of the certificate
    ],
)
async def test_a_database_that_cannot_be_believed_is_not_used(
    postgres: Postgres, certificate: tuple[Path, Path], tmp_path: Path, host: str,
    port_of_tls: bool, words: str,
) -> None:  # fmt: skip
    async with managed(postgres, certificate) as secure:
        upstream = f"{host}:{secure if port_of_tls else postgres.port}"
        more = ("--upstream-ca", str(certificate[0]))
        async with started_wire(upstream, tmp_path / "wire.jsonl", *more) as control:
            wire = await Wire.connect("127.0.0.1", control, TOKEN)
            through = postgres.dsn.replace(
                f"{postgres.host}:{postgres.port}", f"127.0.0.1:{await wire.open_port('web-0')}"
            )
            with pytest.raises(asyncpg.PostgresConnectionError, match=f"no database.*{words}"):
                await asyncpg.connect(through, timeout=10)
            await wire.close()


CLIENT = """
import asyncio, asyncpg, sys
async def main():
    connection = await asyncpg.connect(sys.argv[1], timeout=10)
    print(connection.get_server_pid(), flush=True)
    await connection.execute(sys.argv[2])
    print("done", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@asynccontextmanager
async def client(dsn: str, sql: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process that runs a statement and keeps its connection, and its backend's pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, dsn, sql, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, int(await asyncio.wait_for(process.stdout.readline(), 20))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_client_is_gone_at_the_server_too(
    postgres: Postgres, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """TLS has no half-close: without care its open transaction would keep its locks."""
    direct = await asyncpg.connect(postgres.dsn)
    await direct.execute("CREATE TABLE IF NOT EXISTS behind_tls (id int); TRUNCATE behind_tls")
    states = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state ~ $2"
    rows = "SELECT count(*) FROM behind_tls"

    async def counted(number: int, sql: str, *values: object) -> None:
        async def same() -> bool:
            return int(await direct.fetchval(sql, *values)) == number

        await eventually(same, 5)

    async with (
        managed(postgres, certificate) as port,
        started_wire(f"localhost:{port}", tmp_path / "wire.jsonl", "--upstream-tls") as control,
    ):
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        through = postgres.dsn.replace(
            f"{postgres.host}:{postgres.port}", f"127.0.0.1:{await wire.open_port('web-0')}"
        )
        async with client(through, "BEGIN; INSERT INTO behind_tls VALUES (1)") as (process, pid):
            await counted(1, states, pid, "^idle in transaction$")
            process.kill()
            await counted(0, states, pid, ".")
            await counted(0, rows)

        slow = "INSERT INTO behind_tls SELECT 2 FROM pg_sleep(0.7)"
        async with client(through, slow) as (process, pid):
            await counted(1, states, pid, "^active$")
            process.kill()
            await counted(1, rows)  # what was sent is carried out, as without TLS
            await counted(0, states, pid, ".")
        await wire.close()
    await direct.close()
