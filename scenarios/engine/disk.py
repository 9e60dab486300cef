"""The room that a run needs on its disks, looked at before it starts and while it goes on.

A run writes its history, its traces and its snapshots below the runs folder, and its Postgres
below the folder for temporary files; each writer has limits of its own where it can. What nobody
can bound from inside is the disk that they share with everything else. So a run is refused where
there is too little room to begin with, and ended while there is still room to end it in order:
with its replicas stopped, its manifest written, and a sentence that says what to do. Looking costs
two system calls every two seconds; writes are not slowed down.

Limits: what fills a disk within one look is not seen in time (then a write fails, and the run with
it), a quota is not seen at all, and the disk of a Postgres of yours is yours to watch.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from results.errors import HarnessError

FREE_MIN_BYTES = 1 << 30  # to begin a run: a usual one takes less than a tenth of it
RESERVE_BYTES = 512 << 20  # to go on with it
RUN_MAX_BYTES = 8 << 30  # of one run's folder
LOOK_SECONDS = 2.0
CURE = "Free some, or use another disk: --runs for the runs, TMPDIR for their Postgres."


def free_bytes(path: Path) -> int:
    """What is free on the disk of a path, which need not be there yet."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def places(runs: Path) -> tuple[tuple[str, Path], ...]:
    """What a run writes to, with a name for each: the runs folder, and the temporary files."""
    return ("runs", runs), ("temporary files", Path(tempfile.gettempdir()))


def require_room(runs: Path) -> None:
    """HarnessError where a run has too little room to begin with."""
    for why in _short(runs, FREE_MIN_BYTES):
        raise HarnessError(f"{why}, and a run needs {size(FREE_MIN_BYTES)} to begin with. {CURE}")


@asynccontextmanager
async def bounded(folder: Path, *, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
    """End the body while a disk still has room to spare; HarnessError says which one had not."""
    running = asyncio.current_task()
    assert running is not None
    reasons: list[str] = []

    async def look() -> None:
        while True:
            if why := await asyncio.to_thread(_reason_to_end, folder):
                reasons.append(why)
                running.cancel()
                return
            await asyncio.sleep(look_seconds)

    looking = asyncio.create_task(look())
    try:
        yield
    except BaseException as error:
        if not reasons:
            raise
        running.uncancel()
        raise HarnessError(reasons[0]) from error
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def size(count: int) -> str:
    """`312 MiB`, `4.0 GiB`."""
    return f"{count / (1 << 30):,.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _reason_to_end(folder: Path) -> str:
    """Why a run has to end now; empty: it may go on."""
    for why in _short(folder, RESERVE_BYTES):
        return f"{why}: the run was ended before the disk is full, and proves nothing. {CURE}"
    if _written(folder) > RUN_MAX_BYTES:
        return (
            f"The run's folder {folder} has reached {size(RUN_MAX_BYTES)}, the most that one run "
            "may write: it was ended, and proves nothing. Lower traffic.orders or per_second."
        )
    return ""


def _written(folder: Path) -> int:
    """The bytes of the files that grow; those that vanish meanwhile have none."""
    total = 0
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _short(runs: Path, least: int) -> Iterator[str]:
    for _, path in places(runs):
        if (free := free_bytes(path)) < least:
            yield f"Only {size(free)} are free on the disk of {path}"
