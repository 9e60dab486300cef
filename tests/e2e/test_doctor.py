"""What `onceproof doctor` says of a database of the user's."""

import json
import os
from pathlib import Path

import asyncpg

from cluster.foreign import MARKER_SQL
from cluster.journal import Journal
from cluster.postgres import Postgres
from tests.e2e.test_cli import onceproof


async def test_the_doctor_says_whether_a_database_permits_its_use(tmp_path: Path) -> None:
    home = os.environ.get("HOME", "/")  # where the template of the database lies already

    def examined() -> tuple[int, bool, str]:
        done = onceproof("doctor", "--json", HOME=home, ONCEPROOF_DATABASE_URL=server.dsn)
        found = {one["what"]: one for one in json.loads(done.stdout)}
        return done.returncode, found["database"]["ok"], found["database"]["detail"]

    with Journal(tmp_path / "journal.jsonl") as journal:
        server = await Postgres.start(journal=journal, folder=tmp_path)
        try:
            status, ok, detail = examined()
            assert (status, ok) == (255, False)
            assert detail.endswith(MARKER_SQL)
            connection = await asyncpg.connect(server.dsn)
            await connection.execute(MARKER_SQL)
            await connection.close()
            status, ok, detail = examined()
            assert (status, ok, "permits its use" in detail) == (0, True, True)
        finally:
            await server.stop()
    assert "database" not in onceproof("doctor", HOME=home).stdout
