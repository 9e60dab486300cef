"""A Postgres that takes nobody without TLS, and clients that speak plain text to the wire."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from cluster.postgres import Postgres
from cluster.wire.client import Wire
from tests.cluster.wire.conftest import TOKEN, started_wire

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a key")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, chain = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(chain)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, chain


class Terminator:
    """In front of a Postgres whose build has no TLS: speaks it, and refuses who does not."""

    def __init__(self, server: Postgres, key: Path, chain: Path) -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.secured = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if client.recv(8) != b"\x00\x00\x00\x08\x04\xd2\x16\x2f":
                return
            client.sendall(b"S")
            secure = self._context.wrap_socket(client, server_side=True)
            upstream = socket.create_connection((self._server.host, self._server.port))
            self.secured += 1
            threading.Thread(target=copy, args=(upstream, secure), daemon=True).start()
            copy(secure, upstream)


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def terminator(postgres: Postgres, tmp_path: Path) -> Iterator[Terminator]:
    found = Terminator(postgres, *certificate(tmp_path, "database"))
    yield found
    found.close()


async def value_through(server: Postgres, port: int, file: Path, *more: str) -> object:
    async with started_wire(f"127.0.0.1:{port}", file, *more) as control:
        wire = await Wire.connect("127.0.0.1", control, TOKEN)
        try:
            own = await wire.open_port("web-0")
            through = server.dsn.replace(f"{server.host}:{server.port}", f"127.0.0.1:{own}")
            async with asyncio.timeout(10):
                client = await asyncpg.connect(through, ssl=False)
                value = await client.fetchval("SELECT repeat('x', 200000)")
                await client.close()
                return value
        finally:
            await wire.close()


async def test_the_wire_speaks_tls_for_clients_that_do_not(
    postgres: Postgres, terminator: Terminator, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    value = await value_through(postgres, terminator.port, file, "--upstream-tls")
    assert value == "x" * 200_000
    assert terminator.secured == 1
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await value_through(postgres, terminator.port, file)  # in the clear: nobody answers


async def test_a_database_without_tls_is_not_spoken_to_in_the_clear(
    postgres: Postgres, tmp_path: Path
) -> None:
    with pytest.raises(asyncpg.PostgresConnectionError, match="does not speak TLS"):
        await value_through(postgres, postgres.port, tmp_path / "wire.jsonl", "--upstream-tls")


async def test_with_an_authority_only_its_database_is_believed(
    postgres: Postgres, terminator: Terminator, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    chain, (_, other) = tmp_path / "database.crt", certificate(tmp_path, "impostor")
    value = await value_through(postgres, terminator.port, file, "--upstream-ca", str(chain))
    assert value == "x" * 200_000
    with pytest.raises(asyncpg.PostgresConnectionError, match="no database"):
        await value_through(postgres, terminator.port, file, "--upstream-ca", str(other))
