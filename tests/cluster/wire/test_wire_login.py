"""The wire logs in by itself: SCRAM and md5 over forced TLS, and asks the service for the password.

Tested at a server of Debian's with `hostssl` alone; what no real server is made to say (GSS, an
offer of channel binding only) is said by one of ours.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
import scramp

from cluster.postgres import Postgres
from cluster.wire.client import Wire
from cluster.wire.login import PLUS, authentication, read_password
from cluster.wire.upstream import Upstream
from tests.cluster.wire.conftest import TOKEN, started_wire
from tests.managed import Managed, managed_postgres


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    with managed_postgres() as server:
        yield server


@asynccontextmanager
async def through(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, user: str = "app",
    password: str = "a%26b%2Fc%20d",
) -> AsyncIterator[str]:  # fmt: skip
    """A URL of the wire's port, in the clear."""
    monkeypatch.setenv("ONCEPROOF_UPSTREAM", url)
    async with started_wire("", folder / "wire.jsonl") as control:
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        port = await wire.open_port("web-0")
        yield f"postgresql://{user}:{password}@127.0.0.1:{port}/shop"
        await wire.close()


async def secured(dsn: str) -> bool:
    """Whether the server sees TLS, asked by asyncpg and by libpq."""
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    connection = await asyncpg.connect(dsn, timeout=10)
    found = [await connection.fetchval(sql)]
    await connection.close()

    def as_libpq() -> None:
        with psycopg.connect(dsn) as libpq:
            found.extend(libpq.execute(sql).fetchone() or ())

    await asyncio.to_thread(as_libpq)
    return found == [True, True]


@pytest.mark.parametrize(("user", "password"), [("app", "a%26b%2Fc%20d"), ("old", "elderly")])
@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require", ""])
async def test_a_service_without_tls_works_on_a_database_that_forces_it(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, password: str,
    mode: str,
) -> None:  # fmt: skip
    root = str(managed.certificate) if mode.startswith("verify") else ""
    url = managed.url(user, password, sslmode=mode, sslrootcert=root)
    async with through(url, tmp_path, monkeypatch, user, password) as dsn:
        assert await secured(dsn)


async def test_a_service_with_another_password_or_user_is_refused(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through(managed.url(), tmp_path, monkeypatch, password="wrong") as dsn:
        with pytest.raises(asyncpg.InvalidPasswordError, match="onceproof wire: password auth"):
            await asyncpg.connect(dsn, timeout=10)
        with pytest.raises(psycopg.OperationalError, match="must use the password of the URL"):
            await asyncio.to_thread(psycopg.connect, dsn)
        with pytest.raises(asyncpg.InvalidPasswordError, match="the user 'boss' is not that"):
            await asyncpg.connect(dsn, user="boss", timeout=10)


async def test_the_servers_own_refusal_comes_to_the_service(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = managed.url(password="wrong")
    async with through(wrong, tmp_path, monkeypatch, password="wrong") as dsn:
        with pytest.raises(asyncpg.InvalidPasswordError, match=r'^password .* for user "app"$'):
            await asyncpg.connect(dsn, timeout=10)
    async with through(managed.url(), tmp_path, monkeypatch) as dsn:
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(dsn, database="nowhere", timeout=10)


async def test_a_server_that_cannot_be_believed_gets_no_password(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = managed.url().replace("@localhost:", "@127.0.0.1:")  # not the certificate's name
    async with through(url, tmp_path, monkeypatch) as dsn:
        with pytest.raises(asyncpg.PostgresConnectionError, match=r"no database.*ertificate"):
            await asyncpg.connect(dsn, timeout=10)


async def test_a_server_without_tls_and_password_is_used_as_it_is_unless_tls_was_asked_for(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = postgres.dsn.partition("//")[2].partition("@")[0]
    async with through(postgres.dsn, tmp_path, monkeypatch, user, "any") as dsn:
        connection = await asyncpg.connect(dsn, database="postgres", timeout=10)
        assert await connection.fetchval("SELECT 42") == 42
        await connection.close()
    async with through(f"{postgres.dsn}?sslmode=require", tmp_path, monkeypatch, user) as dsn:
        with pytest.raises(asyncpg.PostgresConnectionError, match="does not speak TLS"):
            await asyncpg.connect(dsn, timeout=10)


@pytest.mark.parametrize(
    ("query", "words"),
    [("sslcert=me.crt", "client certificates are not supported"), ("sslmode=always", "expected")],
)
def test_a_url_with_another_way_to_log_in_is_refused_by_name(query: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Upstream.read(f"postgresql://a:b@localhost:5432/c?{query}")


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def server_that(says: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers a login as `says` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N" if tls is None else b"S")
        if tls is None:  # the wire comes again, in the clear
            writer.close()
            return
        await writer.start_tls(tls)
        await startup(reader)
        await says(reader, writer)  # type: ignore[misc]

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await startup(reader)
        await says(reader, writer)  # type: ignore[misc]

    server = await asyncio.start_server(plain if tls is None else serve, "localhost", 0, family=2)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def startup(reader: asyncio.StreamReader) -> None:
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    await reader.readexactly(length - 4)


@pytest.mark.parametrize(
    ("code", "words"), [(7, "GSS"), (9, "SSPI"), (3, "in the clear, without TLS")]
)
async def test_a_way_to_log_in_that_is_not_spoken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(authentication(code, b""))

    async with server_that(says) as port:
        url = f"postgresql://app:x@localhost:{port}/shop?sslmode=disable"
        async with through(url, tmp_path, monkeypatch, password="x") as dsn:
            with pytest.raises(asyncpg.PostgresError, match=f"the database wants.*{words}"):
                await asyncpg.connect(dsn, timeout=10)


async def test_a_server_that_insists_on_channel_binding_gets_it(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    data = managed.certificate.parent / "data"
    context.load_cert_chain(data / "server.crt", data / "server.key")
    der = ssl.PEM_cert_to_DER_cert(managed.certificate.read_text())
    mechanism = scramp.ScramMechanism(PLUS)
    known = mechanism.make_auth_info("x")
    proved: list[bool] = []

    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = mechanism.make_server(lambda _: known, ("tls-server-end-point", certified(der)))
        writer.write(authentication(10, f"{PLUS}\0\0".encode()))
        initial = await read_password(reader)
        exchange.set_client_first(initial[len(PLUS) + 5 :].decode())
        writer.write(authentication(11, exchange.get_server_first().encode()))
        exchange.set_client_final((await read_password(reader)).decode())
        proved.append(True)
        writer.write(authentication(12, exchange.get_server_final().encode()))
        version = b"server_version\x0015.0\0"
        writer.write(authentication(0, b"") + b"S" + struct.pack("!I", len(version) + 4) + version)
        writer.write(b"Z" + struct.pack("!I", 5) + b"I")

    async with server_that(says, context) as port:
        url = managed.url(password="x").replace(f":{managed.port}/", f":{port}/")
        async with through(url, tmp_path, monkeypatch, password="x") as dsn:
            connection = await asyncpg.connect(dsn, timeout=10)
            connection.terminate()
    assert proved == [True]


def certified(der: bytes) -> bytes:
    """What `tls-server-end-point` says of a certificate."""
    return bytes(scramp.core.CBindData.from_der(der))


@pytest.mark.parametrize(
    "words",
    [b"", b"SCRAM-SHA-256", b"SCRAM-SHA-1\0\0\0\0\x04n,,n", b"SCRAM-SHA-256\0\0\0\0\x02\xff\xfe",
     b"SCRAM-SHA-256\0\0\0\0\x09p=x,,r=ab", b"SCRAM-SHA-256\0\0\0\0\x03n,,"],
)  # fmt: skip
async def test_a_client_that_says_nonsense_is_refused_and_gone(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: bytes
) -> None:
    async with through(managed.url(), tmp_path, monkeypatch) as dsn:
        port = int(dsn.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said = b"\0\x03\0\0user\0app\0\0"
        writer.write(struct.pack("!I", len(said) + 4) + said)
        assert (await reader.readexactly(1)) == b"R"
        writer.write(b"p" + struct.pack("!I", len(words) + 4) + words)
        writer.write(b"p" + struct.pack("!I", 4 + 16) + b"c=biws,r=ab,p=AA")
        answer = await asyncio.wait_for(reader.read(), 10)
        assert b"onceproof wire" in answer
        assert b"C28P01" in answer or b"C08P01" in answer
        writer.close()
