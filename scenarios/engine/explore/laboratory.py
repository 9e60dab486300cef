"""What an exploration stands on: Postgres, a wire and a witness within this process, replicas.

The replicas are the user's own processes, one for each delivery and some to spare: a replica that
was killed comes back by itself while others go on. Each has a port of the wire and one of the
witness to itself, so whose step it is needs no guessing. What works behind the web replicas (a
relay) is started only when all schedules are over: it would be one more actor.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from cluster.child_logs import ChildLogs
from cluster.foreign import passwords
from cluster.journal import Journal
from cluster.ledgers import LedgerReader
from cluster.order_look import OrderLook
from cluster.place import Replica
from cluster.ports import free_port
from cluster.postgres import Postgres
from cluster.processes import Processes
from cluster.wire.embedded import EmbeddedWire
from cluster.wire.rules import Park
from cluster.wire.upstream import Upstream
from cluster.witness.gated import GatedWitness, HeldCall
from cluster.witness.store import Store
from results.records import ConnectionTrace, StatementTrace
from results.run_folder import RunFolder
from scenarios.engine.plan import RunPlan, note
from scenarios.engine.process_stand import HOST, replica_spec, settings_folder, through
from scenarios.engine.stand import Watch, apply_schema, drawn_secrets
from scenarios.engine.variables import Told

DEADLOCK_MS = 50


@dataclass(slots=True)
class Ears:
    """Who hears of what happens at the gates; set by whoever plays."""

    on_park: Callable[[Park], None] | None = None
    on_call: Callable[[HeldCall], None] | None = None
    on_statement: Callable[[StatementTrace], None] | None = None
    on_end: Callable[[ConnectionTrace], None] | None = None

    def park(self, park: Park) -> None:
        """A step is held."""
        if self.on_park is not None:
            self.on_park(park)

    def call(self, call: HeldCall) -> None:
        """A call of the provider is held."""
        if self.on_call is not None:
            self.on_call(call)

    def statement(self, trace: StatementTrace) -> None:
        """A flight was answered."""
        if self.on_statement is not None:
            self.on_statement(trace)

    def end(self, trace: ConnectionTrace) -> None:
        """A client's side of a connection has ended."""
        if self.on_end is not None:
            self.on_end(trace)


@dataclass(slots=True, kw_only=True)
class Laboratory:
    """Everything that a schedule is played on."""

    plan: RunPlan
    folder: RunFolder
    journal: Journal
    wire: EmbeddedWire
    witness: GatedWitness
    place: Processes
    ledger: LedgerReader
    look: OrderLook
    observer: "asyncpg.Connection[Any]"  # for questions about backends
    ears: Ears
    settings: Path  # a folder for settings files
    dsn: str = field(repr=False)
    secret: str = field(repr=False)
    targets: dict[str, str] = field(default_factory=dict)  # web replica -> base URL

    async def ready(self, count: int, *, timeout_seconds: float) -> list[Replica]:
        """So many web replicas that are ready now, those that run longest first."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                free = [
                    one for one in await self.place.replicas() if one.ready and one.role == "web"
                ]
                if len(free) >= count:
                    return free[:count]
                await asyncio.sleep(0.005)

    async def start_others(self) -> None:
        """Start what works behind the web replicas, which nothing holds."""
        roles = [role for role in self.plan.config.service.roles if role != "web"]
        await asyncio.gather(*(self.start(role, f"{role}-0") for role in roles))

    async def start(self, role: str, name: str) -> Replica:
        """Start one replica with ports of its own."""
        config = self.plan.config
        told = Told(
            dsn=through(self.dsn, await self.wire.open_port(name)), host=HOST,
            port=free_port() if role == "web" else 0,
            provider_url=f"http://{HOST}:{await self.witness.open_port(name)}/shipments",
            secret=self.secret, strategy=self.plan.strategy,
        )  # fmt: skip
        spec = replica_spec(config, role, name, told, self.settings / name)
        if role == "web":
            self.targets[name] = spec.url
        return await self.place.start(spec)


@asynccontextmanager
async def laboratory(
    plan: RunPlan, folder: RunFolder, watch: Watch, *, replicas: int
) -> AsyncIterator[Laboratory]:
    """Set it up with so many web replicas; whatever happens, nothing of it is left."""
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.journal))
        token, secret, _ = drawn_secrets(plan)
        hidden = (token, secret, *passwords(plan.database_url or ""))
        logs = ChildLogs(folder.logs, hidden)
        stack.callback(logs.blot)
        watch("starting Postgres")
        postgres = await Postgres.start(
            journal=journal, folder=folder.logs, external_dsn=plan.database_url
        )
        stack.push_async_callback(postgres.stop)
        await apply_schema(plan.config, postgres.dsn, journal, logs)
        ears = Ears()
        wire = EmbeddedWire(
            upstream_of(postgres), folder.wire,
            on_park=ears.park, on_statement=ears.statement, on_end=ears.end,
        )  # fmt: skip
        stack.callback(wire.close)
        store = Store(folder.witness, honours_keys=plan.provider == "honours")
        stack.callback(store.close)
        witness = GatedWitness(store, token, ears.call)
        stack.push_async_callback(witness.close)
        place = Processes(
            journal=journal, log_folder=folder.logs, secrets=hidden, backoff_seconds=0.0,
            ready_seconds=plan.config.service.ready_seconds,
        )  # fmt: skip
        stack.push_async_callback(place.stop_all)
        queries = plan.config.ledger_queries()
        ledger = LedgerReader(postgres.dsn, queries, folder.ledger)
        stack.push_async_callback(ledger.close)
        observer, looking = [
            await asyncpg.connect(
                postgres.dsn, timeout=5, server_settings={"application_name": "onceproof-ledger"}
            )
            for _ in range(2)
        ]
        stack.push_async_callback(observer.close, timeout=2)
        stack.push_async_callback(looking.close, timeout=2)
        if plan.database_url is None:  # a server of ours: nobody else waits for it
            await observer.execute(f"ALTER SYSTEM SET deadlock_timeout = '{DEADLOCK_MS}ms'")
            await observer.execute("ALTER SYSTEM SET autovacuum = off")
            await observer.execute("SELECT pg_reload_conf()")
        lab = Laboratory(
            plan=plan, folder=folder, journal=journal, wire=wire, witness=witness, place=place,
            ledger=ledger, look=OrderLook(looking, queries), observer=observer, ears=ears,
            dsn=postgres.dsn, secret=secret,
            settings=settings_folder(stack, journal),
        )  # fmt: skip
        watch(f"starting {replicas} replicas of {plan.config.service.name}")
        await asyncio.gather(*(lab.start("web", f"web-{index}") for index in range(replicas)))
        await ledger.snapshot("sample")
        note(
            folder,
            postgres={"provider": postgres.provider, "version": postgres.version,
                      **postgres.settings},
        )  # fmt: skip
        yield lab


def upstream_of(postgres: Postgres) -> Upstream:
    """The wire's way to it: by a user's own URL it logs in itself."""
    if postgres.foreign:
        return Upstream.read(postgres.dsn)
    return Upstream(f"{postgres.host}:{postgres.port}")
