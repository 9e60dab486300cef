"""Starts Locust as a process of its own and waits for it; never imports it.

Importing Locust monkey-patches the interpreter, so the border is a process and the history files.
It starts in the folder of its history and without LOCUST_* variables: a locust.conf or a setting
of somebody's shell must not change what a run sends.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.traffic import NO_MIX, NO_RUSH, Mix, Rush
from loadtests.transport import DEFAULT_TRANSPORT
from results.errors import HarnessError

ROOT = Path(__file__).resolve().parents[1]
SECRET_VARIABLE = "SHOPIFY_SHARED_SECRET"
OPEN_FILE = "faults-open"  # while it is beside the history, more orders come than were asked for
ENDED_FILE = "ended.jsonl"  # how Locust ended, where the runner cannot wait for it (`pod`)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmPlan:
    """What the swarm is to send, and where to."""

    orders: int
    per_second: float
    copies: int
    ids: str
    seed: int
    retries: int
    retry_time_scale: float
    webhook: str
    create_webhook: str  # "" for none
    create_late: bool = False
    cancel_webhook: str = ""
    signature: str = "shopify"
    payload: Path | None = None  # template of the body of orders/paid; None: Shopify's
    create_payload: Path | None = None
    cancel_payload: Path | None = None
    mix: Mix = NO_MIX
    rush: Rush = NO_RUSH
    rotate_after: int = 0
    users: int
    targets: Mapping[str, str]
    history: Path
    transport: str = DEFAULT_TRANSPORT
    extend: bool = False  # go on beyond the orders until `finish`

    @property
    def open_file(self) -> Path:
        """While this file is there, more orders come than were asked for."""
        return self.history / OPEN_FILE

    def arguments(self) -> tuple[str, ...]:
        """Locust's command line; the secret is not on it."""
        targets = ",".join(f"{name}={url}" for name, url in self.targets.items())
        return (
            "--headless", "--only-summary",
            "-u", str(self.users), "-r", str(self.users),
            "--host", next(iter(self.targets.values())),
            "--orders", str(self.orders), "--rate", str(self.per_second),
            "--copies", str(self.copies), "--ids", self.ids, "--seed", str(self.seed),
            "--attempts", str(self.retries + 1), "--time-scale", repr(self.retry_time_scale),
            "--webhook", self.webhook, "--create-webhook", self.create_webhook,
            "--create-late", str(int(self.create_late)), "--cancel-webhook", self.cancel_webhook,
            "--signature", self.signature, "--payload", str(self.payload or ""),
            "--create-payload", str(self.create_payload or ""),
            "--cancel-payload", str(self.cancel_payload or ""),
            "--again", str(self.mix.again), "--repaid", str(self.mix.repaid),
            "--cancelled", str(self.mix.cancelled), "--forged", str(self.mix.forged),
            "--two-shops", str(int(self.mix.two_shops)),
            "--rotate-ids", str(int(self.mix.rotate_ids)),
            "--rotate-after", str(self.rotate_after),
            "--rush-seconds", repr(self.rush.seconds), "--rush-rate", repr(self.rush.per_second),
            "--transport", self.transport,
            "--targets", targets,
            "--history", str(self.history.resolve()),
            "--extend-while", str(self.open_file.resolve()) if self.extend else "",
        )  # fmt: skip


class Swarm:
    """One running Locust."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, open_file: Path) -> None:
        self._process = process
        self._log = log
        self._open_file = open_file

    @classmethod
    async def start(
        cls, plan: SwarmPlan, *, secret: str, log: Path, environment: Mapping[str, str],
        next_secret: str = "",
    ) -> "Swarm":  # fmt: skip
        """Start it in a session of its own; the history appears in `plan.history`."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")}
        plan.history.mkdir(parents=True, exist_ok=True)
        if plan.extend:
            plan.open_file.touch()
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"),
                *plan.arguments(),
                stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink,
                env={**inherited, "PYTHONPATH": str(ROOT), SECRET_VARIABLE: secret,
                     f"{SECRET_VARIABLE}_NEXT": next_secret, **environment},
                cwd=plan.history,
                start_new_session=True,
            )  # fmt: skip
        return cls(process, log, plan.open_file)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self, *, timeout_seconds: float) -> None:
        """Until all orders and their retries are done; HarnessError when it failed or hangs."""
        try:
            status = await asyncio.wait_for(self._process.wait(), timeout_seconds)
        except TimeoutError:
            await self.stop()
            raise HarnessError(
                f"Locust did not end within {timeout_seconds:.0f} s. Its log: {self._log}."
            ) from None
        if status:
            raise HarnessError(f"Locust ended with status {status}. Its log: {self._log}.")

    async def finish(self) -> None:
        """Let it end: no more orders than were asked for."""
        self._open_file.unlink(missing_ok=True)

    async def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End it and everything it started."""
        await self.finish()
        for number, wait_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            if self._process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), wait_seconds)
