"""How long a run takes to be judged: from what is on disk to a verdict, in a process of its own.

The history is synthetic (`long_history`), and has anomalies at a known rate: a verdict that does
not count each code exactly is wrong, however fast it came. Three ways are measured: from columns,
as a history of this length is kept; from JSON lines, which are made into columns on the way; and
from records, which is how a small run is judged, and what defines an anomaly.

The time is that of the whole process, Python's start included; files are in the page cache, for
they were just written. 100 M deliveries take 6 GB of disk and minutes to make, so they are
measured only when asked for: ONCEPROOF_CHECKER_100M=1. With less than a second for a sample all
sizes are a tenth.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cluster.journal import RUN_VARIABLE
from cluster.spawn import module_environment
from results.benchmark import Target
from results.errors import HarnessError
from scenarios.engine.bench.long_history import expected
from scenarios.engine.bench.part import Ground, Measured, Peer, Peers

MODULE = "scenarios.engine.bench.judging"
ASKED = "ONCEPROOF_CHECKER_100M"
CALL_SECONDS = 1_800.0
SMALL_SECONDS = 1.0
EVERY = 100_000  # orders to one with a planted anomaly of each kind
COLUMNS = {"1 M": 1_000_000, "10 M": 10_000_000, "100 M": 100_000_000}
LINES, RECORDS = "JSON lines, 300 k", "records, 100 k"


@dataclass(slots=True)
class Judging:
    """One history, judged in one way."""

    name: str
    ground: Ground
    deliveries: int
    how: str = "judge"
    lines: bool = False

    async def measure(self, seconds: float) -> Measured:
        """Make it when it is first asked for, and judge it once."""
        count = self.deliveries // 10 if seconds < SMALL_SECONDS else self.deliveries
        every = min(EVERY, count // 20)
        folder = self.ground.folder / f"{self.how}-{count}-{self.lines}"
        if not folder.exists():
            form = ["lines"] if self.lines else []
            seed = str(self.ground.seed)
            await self._call("make", str(folder), str(count), str(every), seed, *form)
        begun = time.monotonic()
        found = json.loads(await self._call(self.how, str(folder)))
        took = time.monotonic() - begun
        self._forget(folder)
        values = {
            "seconds": took,
            "per_second": found["deliveries"] / took,
            "cpu_seconds": found["cpu_seconds"],
            "peak_mb": found["peak_mb"],
        }
        return Measured(values, wrong=wrong(found["totals"], expected(count, every)))

    def _forget(self, folder: Any) -> None:
        """Lines are made into columns in each sample anew."""
        meta = folder / "columns" / "meta.json"
        if self.lines and meta.exists():
            meta.unlink()

    async def _call(self, *arguments: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, *arguments, stdin=asyncio.subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=module_environment({RUN_VARIABLE: self.ground.journal.owner}),
        )  # fmt: skip
        try:
            self.ground.journal.spawned("judging", process.pid)
            output, said = await asyncio.wait_for(process.communicate(), CALL_SECONDS)
        except TimeoutError:
            raise HarnessError(f"Judging {self.name} did not end. Is the machine busy?") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise HarnessError(
                f"Judging {self.name} failed: {said.decode(errors='replace')[-500:]} "
                "Is there room on the disk and in memory?"
            )
        return output


def wrong(found: dict[str, int], planted: dict[str, int]) -> str:
    """What was not counted as it was planted."""
    codes = sorted({*found, *planted}, key=lambda code: int(code[1:]))
    return ", ".join(
        f"{code}: {found.get(code, 0)} instead of {planted.get(code, 0)}"
        for code in codes
        if found.get(code, 0) != planted.get(code, 0)
    )


class CheckerPart:
    """How fast runs are judged."""

    name = "checker"
    title = "Seconds and memory that it takes to judge a run of so many deliveries"
    targets = (
        Target(what="10 M deliveries, seconds", value=("10 M", "seconds"), at_most=20),
        Target(what="10 M deliveries, peak MB", value=("10 M", "peak_mb"), at_most=1_000),
        Target(what="deliveries a second, columns over records", value=("10 M", "per_second"),
               over=(RECORDS, "per_second"), at_least=10),
        *(
            (Target(what="100 M deliveries, seconds", value=("100 M", "seconds"), at_most=200),
             Target(what="100 M deliveries, peak MB", value=("100 M", "peak_mb"), at_most=2_000))
            if os.environ.get(ASKED) else ()
        ),
    )  # fmt: skip

    @asynccontextmanager
    async def open(self, ground: Ground) -> AsyncIterator[Peers]:
        """Histories are made when they are first judged."""
        all_: list[Peer] = [
            Judging(name, ground, count)
            for name, count in COLUMNS.items()
            if name != "100 M" or os.environ.get(ASKED)
        ]
        all_.append(Judging(LINES, ground, 300_000, lines=True))
        all_.append(Judging(RECORDS, ground, 100_000, how="records", lines=True))
        yield Peers(all_)


PART = CheckerPart()
