"""A runner that starts a database and replicas, and waits to be killed."""

import asyncio
import os
import sys
import time
from pathlib import Path

import aiohttp
import msgspec

from cluster.journal import Journal
from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.processes import Processes, ProcessSpec

CHILD = Path(__file__).parent / "replica_child.py"


async def main(run: Path) -> None:
    manifest = {
        "run_id": run.name,
        "status": "running",
        "runner_pid": os.getpid(),
        "wall_ns": time.time_ns(),
        "a_newer_field": [1, 2],
    }
    (run / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    journal = Journal(run / "journal.jsonl")
    postgres = await Postgres.start(journal=journal, folder=run)
    processes = Processes(journal=journal, log_folder=run)
    replicas = []
    for name in ("web-0", "web-1"):
        port = free_port()
        replica = await processes.start(
            ProcessSpec(
                name=name,
                role="web",
                command=(sys.executable, str(CHILD)),
                environment={"PORT": str(port), "DATABASE_URL": postgres.dsn},
                url=f"http://127.0.0.1:{port}",
                ready_path="/readyz",
            )
        )
        replicas.append(replica)
    async with aiohttp.ClientSession() as session:
        await session.post(replicas[0].url + "/begin")
    await processes.freeze(replicas[0])
    sys.stdout.write("started\n")
    sys.stdout.flush()
    await asyncio.sleep(120)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    asyncio.run(main(folder))
