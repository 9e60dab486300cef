"""The stand of one run: Postgres, wire, witness and replicas, up together and down together.

Everything that a run starts is started here, in one place and in one order, so that one `async
with` cleans all of it up again. The service is reached only as a stranger's would be: by its
command lines, its variables and its SELECTs, all of them from its onceproof.toml.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
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
from results.errors import ClusterError
from results.run_folder import RunFolder
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan, note

HOST = "127.0.0.1"
SCHEMA_SECONDS = 60.0
Watch = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stand:
    """What a run stands on; every part is up while the context lasts."""

    config: ServiceConfig
    folder: RunFolder
    journal: Journal
    postgres: Postgres
    dsn: str = field(repr=False)
    wire: Wire
    wire_process: Child
    witness: Child
    provider: WitnessClient
    place: Processes
    ledger: LedgerReader
    targets: dict[str, str]  # replica name -> base URL
    secret: str = field(repr=False)
    next_secret: str = field(repr=False)  # "" unless the scenario rotates it
    token: str = field(repr=False)


@asynccontextmanager
async def standing(plan: RunPlan, folder: RunFolder, watch: Watch) -> AsyncIterator[Stand]:
    """Bring everything up, hand it over, and take it down again whatever happens."""
    config, replicas = plan.config, plan.scenario.replicas
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.journal))
        token, secret = secrets.token_hex(16), secrets.token_hex(16)
        next_secret = secrets.token_hex(16) if plan.scenario.traffic.rotate_after else ""
        hidden = (token, secret, next_secret, *passwords(plan.database_url or ""))
        logs = ChildLogs(folder.logs, hidden)
        stack.callback(logs.blot)  # the last of all: nobody writes any more
        watch("starting Postgres")
        postgres = await Postgres.start(
            journal=journal, folder=folder.logs, external_dsn=plan.database_url
        )
        stack.push_async_callback(postgres.stop)
        watch(f"Postgres {postgres.version} from {postgres.provider}")
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
            on_event=lambda event: watch(f"{event.replica} {event.what} {event.detail}"),
        )
        stack.push_async_callback(place.stop_all)
        ledger = LedgerReader(postgres.dsn, config.ledger_queries(), folder.ledger)
        stack.push_async_callback(ledger.close)
        stand = Stand(
            config=config, folder=folder, journal=journal, postgres=postgres, dsn=postgres.dsn,
            wire=wire, wire_process=wire_process, witness=witness,
            provider=WitnessClient(f"http://{HOST}:{witness.port}", token), place=place,
            ledger=ledger, targets={}, secret=secret, next_secret=next_secret, token=token,
        )  # fmt: skip
        watch(f"starting {replicas} replicas of {config.service.name}")
        await start_replicas(stand, plan.strategy, replicas)
        await ledger.snapshot("sample")  # a wrong query is found before any traffic
        note(
            folder,
            postgres={"provider": postgres.provider, "version": postgres.version,
                      **postgres.settings},
            replicas=replicas,
        )  # fmt: skip
        yield stand


async def start_wire(
    stack: AsyncExitStack, postgres: Postgres, folder: RunFolder, journal: Journal, token: str
) -> Child:
    """The wire in its own process, in front of the run's Postgres."""
    child = await spawn(
        "wire", "cluster.wire",
        ("--upstream", f"{postgres.host}:{postgres.port}", "--control-port", "0",
         "--file", str(folder.wire)),
        environment={"ONCEPROOF_TOKEN": token},
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


async def apply_schema(config: ServiceConfig, dsn: str, journal: Journal, logs: ChildLogs) -> None:
    """Run the service's own schema command against the fresh database."""
    command = config.schema_command()
    if not command:
        return
    try:
        with logs.open("schema") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=config.environment(
                    {config.service.database_from: dsn, RUN_VARIABLE: journal.owner}
                ),
                cwd=config.folder,
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


async def start_replicas(stand: Stand, strategy: str, replicas: int) -> None:
    """All web replicas and one of each other role, each with a wire port of its own."""
    service = stand.config.service
    names = [("web", f"web-{index}") for index in range(replicas)]
    names += [(role, f"{role}-0") for role in service.roles if role != "web"]
    specs = []
    for role, name in names:
        port = free_port() if role == "web" else 0
        wire_port = await stand.wire.open_port(name)
        environment = {
            service.database_from: through(stand.dsn, wire_port),
            service.secret_from: stand.next_secret or stand.secret,
            service.port_from: str(port),
            "HOST": HOST,
        }
        if service.previous_secret_from and stand.next_secret:
            environment[service.previous_secret_from] = stand.secret
        if service.strategy_from:
            environment[service.strategy_from] = strategy
        if service.provider_from:
            environment[service.provider_from] = f"http://{HOST}:{stand.witness.port}/shipments"
        url = f"http://{HOST}:{port}" if role == "web" else ""
        specs.append(
            ProcessSpec(
                name=name, role=role, command=stand.config.command(role), url=url,
                environment=stand.config.environment(environment),
                folder=stand.config.folder,
                ready_path=service.ready if role == "web" else "",
            )
        )  # fmt: skip
        if role == "web":
            stand.targets[name] = url
    await asyncio.gather(*(stand.place.start(spec) for spec in specs))


def through(dsn: str, port: int) -> str:
    """The same database, by way of the wire's port."""
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@{HOST}:{port}" if user else f"{HOST}:{port}"))
