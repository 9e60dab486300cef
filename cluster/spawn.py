"""Starts the harness's own helpers (wire, witness): a child that says `ready <port>` when it is.

Unlike a replica such a child is never restarted: a wire or a witness that dies has taken proof
with it, and the run must become `unknown`. Each child is a session of its own, so that a Ctrl-C
at the terminal reaches the runner alone, and is journaled, so that `heal` can end it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from cluster.journal import RUN_VARIABLE, Journal
from results.errors import ClusterError

ROOT = Path(__file__).resolve().parents[1]


def module_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that runs one of our modules: ours, not a user's namesake."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", **extra}


class Child:
    """One running helper and the port it listens on."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.name = name
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it has ended for whatever reason."""
        return self._process.returncode is None

    async def stop(self, *, grace_seconds: float = 3.0) -> None:
        """SIGTERM, and SIGKILL after the grace period."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace_seconds)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


async def spawn(
    name: str,
    module: str,
    arguments: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    journal: Journal,
    log_folder: Path,
    timeout_seconds: float = 15.0,
) -> Child:
    """Start `python -m module` and wait for its `ready <port>` line; ClusterError without it."""
    log = log_folder / f"{name}.log"
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=sink,
            env=module_environment({**environment, RUN_VARIABLE: journal.owner}),
            start_new_session=True,
        )  # fmt: skip
    assert process.stdout is not None
    child = Child(name, process, port=0)
    try:
        journal.spawned(name, process.pid)
        line = await asyncio.wait_for(process.stdout.readline(), timeout_seconds)
    except TimeoutError:
        line = b""
    except BaseException:
        process.kill()
        await process.wait()
        raise
    word, _, port = line.decode(errors="replace").strip().partition(" ")
    if word != "ready" or not port.isdigit():
        await child.stop()
        raise ClusterError(f"The {name} did not start. Its own words are in {log}.")
    child.port = int(port)
    return child
