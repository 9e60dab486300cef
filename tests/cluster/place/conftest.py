import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from cluster.faults import FaultContext
from cluster.journal import Journal
from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.processes import Processes, ProcessEvent, ProcessSpec
from cluster.wire.client import Wire
from tests.cluster.place.aimed import TABLES, Bench
from tests.cluster.wire.conftest import TOKEN, started_wire

CHILD = Path(__file__).parent / "replica_child.py"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / f"run-{tmp_path.name}" / "journal.jsonl") as opened:
        yield opened


@pytest.fixture
async def postgres(journal: Journal, tmp_path: Path) -> AsyncIterator[Postgres]:
    server = await Postgres.start(journal=journal, folder=tmp_path / "postgres")
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def events() -> list[ProcessEvent]:
    return []


@pytest.fixture
async def processes(
    journal: Journal, tmp_path: Path, events: list[ProcessEvent]
) -> AsyncIterator[Processes]:
    supervisor = Processes(
        journal=journal, log_folder=tmp_path / "logs", grace_seconds=3, on_event=events.append
    )
    try:
        yield supervisor
    finally:
        await supervisor.stop_all()


@pytest.fixture
def spec() -> Callable[..., ProcessSpec]:
    def make(name: str = "web-0", **environment: str) -> ProcessSpec:
        port = free_port()
        return ProcessSpec(
            name=name,
            role="web",
            command=(sys.executable, str(CHILD)),
            environment={"PORT": str(port), **environment},
            url=f"http://127.0.0.1:{port}",
            ready_path="/readyz",
        )

    return make


@pytest.fixture
async def bench(
    processes: Processes, journal: Journal, postgres: Postgres, tmp_path: Path,
    spec: Callable[..., ProcessSpec],
) -> AsyncIterator[Bench]:  # fmt: skip
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(TABLES)
    await connection.close()
    here = f"{postgres.host}:{postgres.port}"
    async with started_wire(here, tmp_path / "wire.jsonl") as control_port:
        wire = await Wire.connect("127.0.0.1", control_port, TOKEN)
        through = postgres.dsn.replace(here, f"127.0.0.1:{await wire.open_port('web-0')}")
        victim = await processes.start(spec("web-0", DATABASE_URL=through))
        context = FaultContext(place=processes, journal=journal, database=postgres.dsn, wire=wire)
        try:
            yield Bench(context, wire, victim, postgres.dsn, tmp_path / "wire.jsonl")
        finally:
            await wire.close()
