"""What a run uses is measured on real processes and a real database."""

import asyncio
import sys
from pathlib import Path

import asyncpg

from cluster.journal import Journal
from cluster.postgres import Postgres
from cluster.resources import ResourceMeter

EATER = """
import sys, tempfile
kept = bytearray(40_000_000)
files = [tempfile.TemporaryFile() for _ in range(25)]
print("ready 1", flush=True)
sys.stdin.read()
"""


async def test_memory_files_connections_and_disk_are_those_of_the_run(
    journal: Journal, postgres: Postgres, tmp_path: Path
) -> None:
    folder = tmp_path / "measured"
    folder.mkdir()
    (folder / "history").write_bytes(b"x" * 12_345)
    meter = ResourceMeter(postgres.dsn, journal.path, folder)
    before = await meter.look()
    eater = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EATER,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert eater.stdout is not None
        await asyncio.wait_for(eater.stdout.readline(), 20)
        journal.spawned("eater-7", eater.pid)
        client = await asyncpg.connect(postgres.dsn)
        during = await meter.look()
        again = await meter.look()
        await client.close()
    finally:
        eater.kill()
        await eater.wait()
    after = await meter.look()

    assert "eater" not in before.memory_bytes
    assert "eater" not in after.memory_bytes
    assert during.memory_bytes.keys() == again.memory_bytes.keys() == {*after.memory_bytes, "eater"}
    assert during.memory_bytes["eater"] > 40_000_000
    assert 25 <= during.open_files["eater"] < 40
    assert during.connections == before.connections + 1
    assert during.disk_bytes["run folder"] == 12_345
    assert during.disk_bytes["database"] > 5_000_000
    assert during.memory_bytes["postgres"] > 0 < during.memory_bytes["runner"]
