"""How many records of a history one core writes, and that none of them is lost on kill -9.

A process writes as fast as it can and is killed in the middle of it. What it had said by then
counts: so many records, for so much CPU time; and each of them must be in the file and readable.

Limits: a kill is no power failure; what that may take is what was written since the last fsync,
half a second ago.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cluster.journal import RUN_VARIABLE
from cluster.spawn import module_environment
from results.benchmark import Target
from results.errors import HarnessError
from results.records import Completion, Intent
from scenarios.engine.bench.part import Ground, Measured, Peers

START_SECONDS = 20.0


@dataclass(slots=True)
class Writer:
    """One way to write a history."""

    name: str
    writer: str  # of `bench.scribe`
    ground: Ground

    async def measure(self, seconds: float) -> Measured:
        """Let it write for so long, kill it, and read what is there."""
        file = self.ground.folder / "history.jsonl"
        file.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scenarios.engine.bench.scribe", self.writer, str(file),
            stdin=asyncio.subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=module_environment({RUN_VARIABLE: self.ground.journal.owner}),
            start_new_session=True,
        )  # fmt: skip
        try:
            self.ground.journal.spawned("scribe", process.pid)
            said, took = await _listen(process, seconds)
        finally:
            process.kill()
            await process.wait()
        said += (await _rest(process)).splitlines()
        records, cpu_seconds = said[-1].split()
        wrong = await asyncio.to_thread(missing, file, int(records))
        file.unlink(missing_ok=True)
        return Measured(
            {
                "per_core_second": int(records) / float(cpu_seconds),
                "per_second": int(records) / took,
            },
            wrong=wrong,
        )


async def _listen(process: asyncio.subprocess.Process, seconds: float) -> tuple[list[bytes], float]:
    assert process.stdout is not None
    try:
        said = [await asyncio.wait_for(process.stdout.readline(), START_SECONDS)]
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            said = [await asyncio.wait_for(process.stdout.readline(), START_SECONDS)]
    except TimeoutError:
        said = [b""]
    if not said[-1]:
        raise HarnessError("The writer of the history wrote nothing. Is the disk full?")
    return said, time.monotonic() - begun


async def _rest(process: asyncio.subprocess.Process) -> bytes:
    """What it had said and nobody had read; a last line without an end was not said."""
    assert process.stdout is not None
    return (await process.stdout.read()).rpartition(b"\n")[0]


def missing(file: Path, said: int) -> str:
    """What is not in the file of what was said to be, for a person; "" when all of it is."""
    lines = file.read_bytes().split(b"\n")[:-1]  # the last one may be torn
    if len(lines) < said:
        return f"{said} records were written, {len(lines)} are there"
    reads = msgspec.json.Decoder(Intent | Completion)
    try:
        for line in lines:
            reads.decode(line)
    except msgspec.DecodeError as error:
        return f"a record cannot be read: {error}"
    return ""


class HistoryPart:
    """The writers of histories."""

    name = "history"
    title = "Records of a history that one core writes until it is killed, none of them lost"
    targets = (
        Target(what="records per second of one core", value=("recorder", "per_core_second"),
               at_least=200_000),
        Target(what="records per second of one core, the pump's",
               value=("book", "per_core_second"), at_least=200_000),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """Nothing is shared."""
        yield Peers([Writer("recorder", "recorder", ground), Writer("book", "book", ground)])


PART = HistoryPart()
