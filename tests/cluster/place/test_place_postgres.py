import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest

from cluster import postgres_binaries
from cluster.family import lives
from cluster.journal import Journal, read_journal
from cluster.postgres import Postgres
from cluster.postgres_binaries import find_binaries
from results.errors import ClusterError
from results.footprint import Created, Spawned

ROOT = Path(__file__).parents[3]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


def _traces(journal: Journal) -> tuple[list[int], list[Path]]:
    records = read_journal(journal.path)
    pids = [record.pid for record in records if isinstance(record, Spawned)]
    return pids, [Path(record.path) for record in records if isinstance(record, Created)]


def _open_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="onceproof-test-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


async def test_starts_durable_and_leaves_nothing(journal: Journal, tmp_path: Path) -> None:
    server = await Postgres.start(journal=journal, folder=tmp_path)
    try:
        pids, folders = _traces(journal)
        assert psutil.pid_exists(pids[0])
        assert folders[0].is_dir()
        connection = await asyncpg.connect(server.dsn)
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert await connection.fetchval(tables) == 0
        await connection.close()
        assert server.settings["fsync"] == "on"
        assert server.settings["synchronous_commit"] == "on"
        assert server.settings["deadlock_timeout"] == "200ms"
        assert server.port < 32768
        assert server.version[0].isdigit()
    finally:
        await server.stop()
    assert not psutil.pid_exists(pids[0])
    assert not folders[0].exists()
    assert (tmp_path / "postgres.log").exists()


async def test_a_second_start_copies_the_template_instead_of_running_initdb(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Postgres.start(journal=journal, folder=tmp_path)
    await first.stop()
    really_run = postgres_binaries.Binaries.run

    def run(self: postgres_binaries.Binaries, tool: str, *rest: str, **options: float) -> str:
        assert tool != "initdb"
        return really_run(self, tool, *rest, timeout_seconds=options["timeout_seconds"])

    monkeypatch.setattr(postgres_binaries.Binaries, "run", run)
    took: list[float] = []
    for _ in range(3):
        server = await Postgres.start(journal=journal, folder=tmp_path)
        took.append(round(server.started_in_seconds, 3))
        await server.stop()
    # 0.17 s on a quiet machine; a busy one is many times slower, so the figure is only printed.
    sys.stdout.write(f"fresh clusters in {took} s\n")


async def test_fresh_databases_are_apart_and_named_once(postgres: Postgres) -> None:
    dsn = await postgres.fresh_database("other")
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE only_here ()")
    await connection.close()
    connection = await asyncpg.connect(postgres.dsn)
    assert await connection.fetchval("SELECT to_regclass('only_here')") is None
    await connection.close()
    with pytest.raises(ClusterError, match="other"):
        await postgres.fresh_database("other")
    with pytest.raises(ClusterError, match="no name"):
        await postgres.fresh_database('x"; DROP TABLE y')


async def test_a_crashed_server_is_gone_with_its_backends(
    postgres: Postgres, journal: Journal
) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    backend = connection.get_server_pid()
    await postgres.crash()
    pids, folders = _traces(journal)
    assert not psutil.pid_exists(backend) or not lives(psutil.Process(backend))
    assert not psutil.pid_exists(pids[0]) or psutil.Process(pids[0]).status() == "zombie"
    connection.terminate()
    await postgres.stop()
    assert not folders[0].exists()


def test_binaries_that_are_given_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = find_binaries()
    monkeypatch.setenv("ONCEPROOF_PG_BIN", str(wheel.folder))
    assert find_binaries().provider == "ONCEPROOF_PG_BIN"
    monkeypatch.setenv("ONCEPROOF_PG_BIN", "/nowhere")
    with pytest.raises(ClusterError, match="/nowhere"):
        find_binaries()


def test_without_any_binaries_the_message_has_the_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres_binaries, "_providers", lambda: iter(()))
    with pytest.raises(ClusterError, match="pip install") as caught:
        find_binaries()
    assert "apt-get" in str(caught.value)
    assert "ONCEPROOF_PG_BIN" in str(caught.value)


@as_root
@pytest.mark.slow
@pytest.mark.parametrize("way", ["user namespace", "copy as nobody"])
async def test_root_finds_a_way_where_the_binaries_are_closed(
    way: str, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "user namespace" and shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    plain = replace(find_binaries(), prefix=(), user=None, group=None)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = plain.folder.parent.parent
    installed = closed / package.name / plain.folder.parent.name
    shutil.copytree(plain.folder.parent, installed, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name, symlinks=True)
    ways = [one for one in postgres_binaries._ways(plain) if one.name in ("as nobody", way)]
    monkeypatch.setattr(
        postgres_binaries,
        "_ways",
        lambda candidate: [postgres_binaries._Way(one.name, candidate) for one in ways],
    )
    shared = _open_folder()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.setenv("ONCEPROOF_PG_BIN", str(installed / plain.folder.name))
    try:
        try:
            assert find_binaries().way == way
        except ClusterError as error:
            if way == "user namespace" and "unshare" in str(error):
                pytest.skip(f"user namespaces are forbidden here: {error}")
            raise
        server = await Postgres.start(journal=journal, folder=tmp_path)
        await server.stop()
    finally:
        shutil.rmtree(shared)


@as_root
def test_an_ordinary_user_without_a_home_can_start_it() -> None:
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="onceproof-test-", dir="/tmp"))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    program = (
        "import asyncio, pathlib, sys\n"
        "from cluster.journal import Journal\n"
        "from cluster.postgres import Postgres\n"
        "async def main():\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    server = await Postgres.start(journal=Journal(folder / 'j'), folder=folder)\n"
        "    print(server.provider)\n"
        "    await server.stop()\n"
        "asyncio.run(main())\n"
    )
    packages = Path(asyncpg.__file__).parents[1]
    environment = {
        "HOME": "/nonexistent",
        "TMPDIR": str(folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{packages}",
    }

    def as_nobody(python: str, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", code, str(folder)], user=nobody.pw_uid, group=nobody.pw_gid,
            extra_groups=[], cwd="/", check=False, env=environment, capture_output=True,
            text=True, timeout=90,
        )  # fmt: skip

    def works(python: str) -> bool:
        try:
            return as_nobody(python, "import cluster.postgres").returncode == 0
        except OSError:
            return False

    same = f"python3.{sys.version_info.minor}"
    try:
        candidates = (sys.executable, f"/usr/bin/{same}", f"/usr/local/bin/{same}")
        python = next((one for one in candidates if works(one)), None)
        if python is None:
            pytest.skip("neither this python nor the system's can be run by nobody here")
        done = as_nobody(python, program)
        assert done.returncode == 0, done.stderr
        assert "direct" in done.stdout
        assert not list(folder.glob("onceproof-postgres-*"))
    finally:
        shutil.rmtree(folder)
