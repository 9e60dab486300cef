"""The server of a pod, run here: its password, its durability, and its return after a crash."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from cluster.ports import free_port
from cluster.postgres_binaries import find_binaries
from cluster.postgres_pod import prepare
from results.errors import ConfigError

PASSWORD = "it's a ' quoted one"
Start = Callable[[], psutil.Popen]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the server's user may write."""
    folder = Path(tempfile.mkdtemp(prefix="onceproof-test-", dir="/tmp"))
    binaries = find_binaries()
    if binaries.user is not None:
        os.chown(folder, binaries.user, binaries.group or 0)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(home: Path, port: int) -> Iterator[Start]:
    started: list[psutil.Popen] = []

    def run() -> psutil.Popen:
        command = [sys.executable, "-m", "cluster.postgres_pod"]
        process = psutil.Popen(
            [*command, "--data", str(home / "postgres"), "--port", str(port)],
            env={**os.environ, "POSTGRES_PASSWORD": PASSWORD, "OTHER_SECRET": "unseen"},
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        crash(process)


def crash(process: psutil.Popen) -> None:
    """As the death of process 1 in a pod: the server and all its backends, at once."""
    if process.poll() is not None:
        return
    family = process.children(recursive=True)
    process.kill()
    for member in family:
        member.kill()
    process.wait(10)
    psutil.wait_procs(family, 10)


async def connect(port: int, password: str = PASSWORD, seconds: float = 30) -> asyncpg.Connection:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await asyncpg.connect(
                host="127.0.0.1", port=port, user="postgres", password=password,
                database="postgres", timeout=5,
            )  # fmt: skip
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def test_it_becomes_a_durable_server_that_recovers_in_place(start: Start, port: int) -> None:
    process = start()
    connection = await connect(port)
    assert "postgres" in Path(process.exe()).name  # the very process that was started
    assert "OTHER_SECRET" not in process.environ()
    assert "POSTGRES_PASSWORD" not in process.environ()
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "400",
    }.items():
        assert await connection.fetchval("SELECT current_setting($1)", name) == value
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    crash(process)
    again = start()
    connection = await connect(port)
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()

    again.send_signal(2)  # as the manifest ends it
    assert again.wait(10) == 0


async def test_only_the_password_opens(start: Start, port: int, home: Path) -> None:
    start()
    await (await connect(port)).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(port, "")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(port, "postgres")
    assert os.listdir(home) == ["postgres"]  # no file with the password  # noqa: PTH208
    assert (home / "postgres" / "pg_hba.conf").read_text() == "host all all all scram-sha-256\n"


def test_what_a_start_that_died_has_left_is_made_anew(home: Path) -> None:
    left = home / "postgres.making"
    left.mkdir()
    (left / "PG_VERSION").write_text("18\n")
    prepare(find_binaries(), home / "postgres", PASSWORD, 5432)
    assert (home / "postgres" / "global").is_dir()
    assert not left.exists()


def test_without_a_password_it_says_what_to_do(home: Path) -> None:
    with pytest.raises(ConfigError, match="POSTGRES_PASSWORD is not set"):
        prepare(find_binaries(), home / "postgres", "", 5432)
