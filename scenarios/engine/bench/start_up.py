"""How long the command line takes to answer, and how long the demo takes from end to end.

`--help` is what a person waits for most often; it must not import what it does not need. The demo
is the main job, warm: the template of the database is there, as it is from the second run on. It
is run once in a sample, however long a sample is.
"""

import asyncio
import contextlib
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cluster.journal import RUN_VARIABLE
from cluster.spawn import module_environment
from results.benchmark import Target
from results.errors import HarnessError
from scenarios.engine.bench.part import Ground, Measured, Peer, Peers

COMMAND = "from scenarios.engine.cli import main; main()"
CALL_SECONDS = 180.0


@dataclass(slots=True)
class Start:
    """One command, called again and again."""

    name: str
    ground: Ground
    arguments: tuple[str, ...]
    once: bool = False
    more: dict[str, str] = field(default_factory=dict)

    async def measure(self, seconds: float) -> Measured:
        """The median of the calls."""
        took: list[float] = []
        wrong = ""
        until = time.monotonic() + seconds
        before = children_seconds()
        while not took or (not self.once and time.monotonic() < until):
            begun = time.monotonic()
            status = await self._call()
            took.append(time.monotonic() - begun)
            if status:
                wrong = f"it ended with status {status}"
        return Measured(
            {
                "seconds": statistics.median(took),
                "cpu_seconds": (children_seconds() - before) / len(took),
                "calls": len(took),
            },
            wrong=wrong,
        )

    async def _call(self) -> int:
        variables = {RUN_VARIABLE: self.ground.journal.owner, **self.more}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", *self.arguments, stdin=asyncio.subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=module_environment(variables), start_new_session=True,
            cwd=self.ground.folder,
        )  # fmt: skip
        try:
            self.ground.journal.spawned("onceproof", process.pid)
            return await asyncio.wait_for(process.wait(), CALL_SECONDS)
        except TimeoutError:
            raise HarnessError(f"`{self.name}` did not end. Is the machine busy?") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)  # it ends what it started
                await process.wait()


def children_seconds() -> float:
    """CPU time of all children that have ended: on a busy machine it says more than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class StartUpPart:
    """What a person waits for."""

    name = "start_up"
    title = "Seconds until the command line has answered, and until the demo is done"
    targets = (
        Target(what="onceproof --help, seconds", value=("--help", "seconds"), at_most=0.25),
        Target(what="onceproof demo, warm, seconds", value=("demo", "seconds"), at_most=20),
    )

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """Nothing is shared but the folder of the demo's runs."""
        runs = str(ground.folder / "runs")
        all_: list[Peer] = [
            Start("python", ground, ("pass",)),
            Start("--help", ground, (COMMAND, "--help")),
            Start("demo", ground, (COMMAND, "demo", "--runs", runs), once=True),
        ]
        yield Peers(all_)


PART = StartUpPart()
