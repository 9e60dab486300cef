"""The stand of one run on this machine: every part a process of its own.

The service is reached only as a stranger's would be: by its command lines, its variables and its
SELECTs, all of them from its onceproof.toml.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

from cluster.child_logs import ChildLogs
from cluster.foreign import passwords
from cluster.journal import RUN_VARIABLE, Journal
from cluster.ledgers import LedgerReader
from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.processes import Processes, ProcessSpec
from cluster.spawn import Child, spawn
from cluster.wire.client import Wire
from cluster.witness.client import WitnessClient
from loadtests.swarm import Swarm, SwarmPlan
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan, note
from scenarios.engine.seed_orders import seed_orders
from scenarios.engine.stand import (
    RunningSwarm,
    SendSwarm,
    Stand,
    Watch,
    apply_schema,
    drawn_secrets,
    with_settings,
)
from scenarios.engine.variables import Told

HOST = "127.0.0.1"
NOTHING: Mapping[str, str] = MappingProxyType({})


@asynccontextmanager
async def standing_on_processes(
    plan: RunPlan, folder: RunFolder, watch: Watch
) -> AsyncIterator[Stand]:
    """All of it as processes of this machine."""
    config = plan.config
    # Where the service listens on one port alone there is one replica: its deliveries race in it.
    replicas = 1 if config.service.port else plan.scenario.replicas
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.journal))
        token, secret, next_secret = drawn_secrets(plan)
        hidden = (token, secret, next_secret, *passwords(plan.database_url or ""))
        logs = ChildLogs(folder.logs, hidden)
        stack.callback(logs.blot)  # the last of all: nobody writes any more
        watch("starting Postgres")
        postgres = await Postgres.start(
            journal=journal, folder=folder.logs, external_dsn=plan.database_url
        )
        stack.push_async_callback(postgres.stop)
        watch(f"Postgres {postgres.version} from {postgres.provider}")
        watch("preparing the database")
        async with asyncio.TaskGroup() as tasks:  # one that fails ends the others
            starting_wire = tasks.create_task(start_wire(stack, postgres, folder, journal, token))
            starting_witness = tasks.create_task(
                start_witness(stack, folder, journal, token, plan.provider)
            )
            tasks.create_task(apply_schema(config, postgres.dsn, journal, logs))
        wire_process, witness = starting_wire.result(), starting_witness.result()
        wire = await Wire.connect(HOST, wire_process.port, token)
        stack.push_async_callback(wire.close)
        place = Processes(
            journal=journal,
            log_folder=folder.logs,
            secrets=hidden,
            ready_seconds=config.service.ready_seconds,
            on_event=lambda event: watch(f"{event.replica} {event.what} {event.detail}"),
        )
        stack.push_async_callback(place.stop_all)
        ledger = LedgerReader(postgres.dsn, config.ledger_queries(), folder.ledger)
        stack.push_async_callback(ledger.close)
        stand = Stand(
            config=config, folder=folder, journal=journal, postgres=postgres, dsn=postgres.dsn,
            wire=wire, witness=witness,
            provider=WitnessClient(f"http://{HOST}:{witness.port}", token), place=place,
            environments=place, ledger=ledger, targets={}, send=sender(folder, journal, secret,
            next_secret), secret=secret, next_secret=next_secret,
        )  # fmt: skip
        named = f"{replicas} replica{'s' * (replicas > 1)} of {config.service.name}"
        watch(f"starting {named}")
        settings = settings_folder(stack, journal)
        await start_replicas(stand, place, witness.port, plan.strategy, replicas, settings)
        watch("reading the ledger")
        await ledger.snapshot("sample")  # a wrong query is found before any traffic
        if config.service.seed:
            watch("seeding the orders' rows")
            await seed_orders(plan, postgres.dsn)
        note(
            folder,
            postgres={"provider": postgres.provider, "version": postgres.version,
                      **postgres.settings},
            replicas=replicas,
        )  # fmt: skip
        yield stand
        if exits := +place.exits:
            note(folder, exits=dict(exits))


def settings_folder(stack: AsyncExitStack, journal: Journal) -> Path:
    """A folder for files with passwords: of this user alone, and gone with the run."""
    settings = Path(tempfile.gettempdir()) / f"onceproof-settings-{token_hex(6)}"
    journal.create(settings)
    stack.callback(shutil.rmtree, settings, ignore_errors=True)
    return settings


def sender(folder: RunFolder, journal: Journal, secret: str, next_secret: str) -> SendSwarm:
    """Starts Locust as a process of this machine."""

    async def send(swarm: SwarmPlan) -> RunningSwarm:
        running = await Swarm.start(
            swarm, secret=secret, next_secret=next_secret, log=folder.logs / "locust.log",
            environment={RUN_VARIABLE: journal.owner},
        )  # fmt: skip
        journal.spawned("locust", running.pid)
        return running

    return send


async def start_wire(
    stack: AsyncExitStack, postgres: Postgres, folder: RunFolder, journal: Journal, token: str
) -> Child:
    """The wire in its own process, in front of the run's Postgres."""
    where: tuple[str, ...] = ()
    environment = {"ONCEPROOF_TOKEN": token}
    if postgres.foreign:
        environment["ONCEPROOF_UPSTREAM"] = postgres.dsn
    else:
        where = ("--upstream", f"{postgres.host}:{postgres.port}")
    child = await spawn(
        "wire", "cluster.wire",
        (*where, "--control-port", "0", "--file", str(folder.wire)),
        environment=environment,
        journal=journal, log_folder=folder.logs,
    )  # fmt: skip
    stack.push_async_callback(child.stop)
    return child


async def start_witness(
    stack: AsyncExitStack, folder: RunFolder, journal: Journal, token: str, provider: str
) -> Child:
    """The witness in its own process, with a store of its own."""
    child = await spawn(
        "witness", "cluster.witness",
        ("--port", "0", "--file", str(folder.witness), "--keys", provider),
        environment={"ONCEPROOF_TOKEN": token},
        journal=journal, log_folder=folder.logs,
    )  # fmt: skip
    stack.push_async_callback(child.stop)
    return child


async def start_replicas(
    stand: Stand, place: Processes, witness_port: int, strategy: str, replicas: int,
    settings: Path,
) -> None:  # fmt: skip
    """All web replicas and one of each other role, each with a wire port of its own."""
    config, service = stand.config, stand.config.service
    names = [("web", f"web-{index}") for index in range(replicas)]
    names += [(role, f"{role}-0") for role in service.roles if role != "web"]
    specs = []
    for role, name in names:
        told = Told(
            dsn=through(stand.dsn, await stand.wire.open_port(name)), host=HOST,
            port=0 if role != "web" else service.port or free_port(),
            provider_url=f"http://{HOST}:{witness_port}/shipments",
            secret=stand.next_secret or stand.secret, strategy=strategy,
        )  # fmt: skip
        more = {}
        if service.previous_secret_from and stand.next_secret:
            more[service.previous_secret_from] = stand.secret
        specs.append(replica_spec(config, role, name, told, settings / name, more))
        if role == "web":
            stand.targets[name] = specs[-1].url
    await asyncio.gather(*(place.start(spec) for spec in specs))


def replica_spec(
    config: ServiceConfig, role: str, name: str, told: Told, settings: Path,
    more: Mapping[str, str] = NOTHING,
) -> ProcessSpec:  # fmt: skip
    """How to start one replica; `settings` is where its settings file goes, if it reads one."""
    told = with_settings(config, told, settings)
    return ProcessSpec(
        name=name, role=role, command=config.command(role, told.settings),
        url=f"http://{HOST}:{told.port}" if role == "web" else "",
        environment=config.environment({**config.variables(told), **more}),
        folder=config.folder,
        ready_path=config.service.ready if role == "web" else "",
    )  # fmt: skip


def through(dsn: str, port: int) -> str:
    """The same database, by way of the wire's port: in the clear, whatever the server asks for."""
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    place = f"{user}@{HOST}:{port}" if user else f"{HOST}:{port}"
    asked = [one for one in parts.query.split("&") if one and not one.startswith("ssl")]
    return urlunsplit(parts._replace(netloc=place, query="&".join(asked)))
