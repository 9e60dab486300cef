"""What a run stands on: one shape, wherever its parts are.

Postgres, wire, witness and replicas are processes of this machine (`process_stand`) or pods of a
cluster (`pod_stand`); whoever injects, settles and judges sees only this. Everything that a run
starts is started in one place and in one order, so that one `async with` cleans all of it up again.
"""

import asyncio
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from cluster.child_logs import ChildLogs
from cluster.faults.context import Administrator, Environments, Server
from cluster.journal import RUN_VARIABLE, Journal
from cluster.ledgers import LedgerReader
from cluster.place import Place
from cluster.wire.client import Wire
from cluster.witness.client import WitnessClient
from loadtests.swarm import SwarmPlan
from results.errors import ClusterError
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan
from scenarios.engine.variables import Told, write_settings

SCHEMA_SECONDS = 60.0
Watch = Callable[[str], None]


class Part(Protocol):
    """A part of the harness that must not end by itself."""

    @property
    def alive(self) -> bool:
        """False once it has ended for whatever reason."""


class RunningSwarm(Protocol):
    """Traffic on its way."""

    async def wait(self, *, timeout_seconds: float) -> None:
        """Until all orders and their retries are done; HarnessError when it failed or hangs."""

    async def finish(self) -> None:
        """Let it end: no more orders than were asked for."""

    async def stop(self) -> None:
        """End it and everything it started."""


SendSwarm = Callable[[SwarmPlan], Awaitable[RunningSwarm]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What a run stands on; every part is up while the context lasts."""

    config: ServiceConfig
    folder: RunFolder
    journal: Journal
    postgres: Server
    dsn: str = field(repr=False)  # directly, not through the wire
    wire: Wire
    witness: Part
    provider: WitnessClient
    place: Place
    administrator: Administrator | None = None  # None: not in a cluster
    environments: Environments | None  # None: replicas keep the variables they have
    ledger: LedgerReader
    targets: dict[str, str]  # replica name -> base URL
    send: SendSwarm
    histories_late_seconds: float = 0.0  # how long an intent may take to come to the run's folder
    secret: str = field(repr=False)
    next_secret: str = field(repr=False)  # "" unless the scenario rotates it


def drawn_secrets(plan: RunPlan) -> tuple[str, str, str]:
    """Token of the harness, shared secret, and the next one ("" where it is not rotated)."""
    rotated = secrets.token_hex(16) if plan.scenario.traffic.rotate_after else ""
    return secrets.token_hex(16), secrets.token_hex(16), rotated


def with_settings(config: ServiceConfig, told: Told, file: Path) -> Told:
    """The same with a settings file made for it, if the service reads one."""
    template = config.file(config.service.settings)
    if template is None:
        return told
    told = replace(told, settings=str(file))
    write_settings(template, file, told.places())
    return told


async def apply_schema(config: ServiceConfig, dsn: str, journal: Journal, logs: ChildLogs) -> None:
    """Run the service's own schema command against the fresh database."""
    if not config.service.schema:
        return
    with tempfile.TemporaryDirectory(prefix="onceproof-settings-") as settings:
        told = with_settings(config, Told(dsn=dsn), Path(settings) / "schema")
        command = config.schema_command(told.settings)
        environment = config.environment({**config.variables(told), RUN_VARIABLE: journal.owner})
        await run_schema(command, environment, config.folder, journal, logs)


async def run_schema(
    command: tuple[str, ...], environment: dict[str, str], folder: Path, journal: Journal,
    logs: ChildLogs,
) -> None:  # fmt: skip
    """Run the command and wait for its end; ClusterError with its last words if it failed."""
    try:
        with logs.open("schema") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
    except OSError as error:
        raise ClusterError(
            f"The service's schema command {command[0]!r} cannot be started: {error.strerror}. "
            "It is `schema` under [service] in onceproof.toml."
        ) from None
    journal.spawned("schema", process.pid)
    try:
        await asyncio.wait_for(process.wait(), SCHEMA_SECONDS)
    except TimeoutError:
        raise ClusterError(
            f"The service's schema command did not end within {SCHEMA_SECONDS:.0f} s. It is "
            "`schema` under [service] in onceproof.toml."
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ClusterError(
            f"The service's schema command failed: {logs.last_words('schema')}. It is `schema` "
            "under [service] in onceproof.toml."
        )
