"""Before any verdict on a service of somebody's: does one delivery do anything at all?

A run of a thousand duplicates against a service that refuses its signature, or uses another
database, proves nothing and says so in riddles. So one order is delivered first, by itself: it must
get a 2xx, come through the wire, and leave one effect where the ledger and the witness look. Then
the same delivery comes again and is classified: no effect, or effect again (which a run will
call by its name). Whether it was recorded when the 2xx came is noted as well; which of the two was
first to the millisecond is A3's to judge.

The order is on record as all others are, and is judged with them. Limits: where orders have no row
before they are paid (`create` is not `before`), a service may rightly do nothing, and nothing is
checked.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import msgspec

from cluster.child_logs import ChildLogs
from cluster.foreign import passwords
from loadtests.dialect import CREATE, PAID
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder, order_number, plan_order
from results.errors import ConfigError
from results.records import OrderState
from scenarios.engine.plan import RunPlan, note
from scenarios.engine.seed_orders import seed_order
from scenarios.engine.sender import Sender, sender_session
from scenarios.engine.stand import Stand, Watch

WORKER = 98  # order ids of its own
WORKED_SECONDS = 10.0
AGAIN_SECONDS = 1.0  # a second effect that comes later than this is the run's to find
LOOK_SECONDS = 0.05
BUSY = """
    SELECT CASE WHEN state <> 'active' THEN 'holds a transaction open, after'
                WHEN wait_event_type = 'Lock' THEN 'waits for a lock in' ELSE 'still runs' END
           AS doing, left(query, 200) AS sql
      FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
       AND backend_type = 'client backend' AND application_name <> 'onceproof-ledger'
       AND state_change < clock_timestamp() - interval '1 s'
     LIMIT 3
"""
PAST = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend' AND application_name <> 'onceproof-ledger'
       AND pid <> ALL ($1::int[])
"""


class Baseline(msgspec.Struct, frozen=True):
    """What one delivery did, and the same once more."""

    status: int
    committed_before_answer: bool
    second_status: int | None
    second: str  # "no effect" or "effect again"


@dataclass(slots=True)
class Effects:
    """How often an order has taken effect, by each book that is kept of it."""

    stand: Stand
    order: PlannedOrder
    _state: OrderState | None = None

    async def count(self) -> dict[str, int]:
        """Rows in the ledger, shipments at the witness; only what this run can see."""
        snapshot = await self.stand.ledger.snapshot("sample")
        key = (self.order.shop, self.order.order_id)
        for state in snapshot.orders:
            if (state.shop, state.order_id) == key:
                self._state = state
        found, queries = {}, self.stand.config.ledger_queries()
        if "orders" in queries:
            found["orders"] = int(self._state is not None and self._state.status == "paid")
        if "fulfillments" in queries:
            found["fulfillments"] = len(self._state.fulfillments) if self._state else 0
        counted = {one.name: one.times for one in self._state.counts} if self._state else {}
        found |= {
            f"counts.{name}": counted.get(name, 0) for name in self.stand.config.ledger.counts
        }
        if self.stand.config.service.provider_from:
            found["shipments"] = len(await self.stand.provider.effects(self.order.order_id))
        return found

    async def committed(self) -> bool:
        """Whether it is recorded; a relay may ship later, and a worker work a job off."""
        found = await self.count()
        return all(found.get(name, 1) for name in ("orders", "fulfillments"))


async def before_any_verdict(plan: RunPlan, stand: Stand, watch: Watch) -> None:
    """Take the baseline of a service that is not ours, and note it in the manifest."""
    if plan.config.ours or plan.cluster is not None:
        return
    watch("delivering one order, and the same once more")
    found = await baseline(plan, stand)
    if found is not None:
        note(stand.folder, baseline=msgspec.structs.asdict(found))


async def baseline(plan: RunPlan, stand: Stand) -> Baseline | None:
    """Deliver one order twice, one after the other; ConfigError says what has to be changed."""
    if plan.scenario.traffic.create != "before":
        return None
    order = plan_order(
        plan.random("baseline"), order_number(plan.seed, WORKER, 0), 0.0, 1, distinct_ids=False
    )
    target = next(iter(stand.targets))
    recorder = Recorder(stand.folder.history(WORKER))
    await seed_order(plan.config, stand.dsn, order)
    async with sender_session() as session:
        sender = Sender(stand.config, stand.secret, stand.targets, session, recorder)
        if plan.config.service.create_webhook:
            await accepted(await sender.deliver(order, 0, CREATE, target), stand, "create_webhook")
        status = await accepted(await sender.deliver(order, 0, PAID, target), stand, "webhook")
        effects = Effects(stand, order)
        committed = await effects.committed()
        await through_the_wire(stand)
        first = await settled(effects)
        second_status = await sender.deliver(order, 0, PAID, target, attempt=2)
        again = await more_than(effects, first)
    recorder.end(worker=WORKER, planned=1, sent=1, shed=0)
    return Baseline(status, committed, second_status, "effect again" if again else "no effect")


async def accepted(status: int | None, stand: Stand, key: str) -> int:
    """The status, if it is a 2xx; ConfigError with the line to look at if it is none."""
    service = stand.config.service
    if status is not None and 200 <= status < 300:
        return status
    path = getattr(service, key)
    if status is None:
        why = f"was not answered within 5 s{await still_running(stand)}"
    elif status in (401, 403):
        why = (
            f"got {status}: its signature is not accepted. Check signature = "
            f'"{service.signature}" and secret_from = "{service.secret_from}" under [service]'
        )
    elif status in (404, 405):
        why = f'got {status}: nothing takes webhooks at {key} = "{path}" under [service]'
    elif status in (400, 422):
        why = f"got {status}: its body is not accepted. Check `payload` under [service]"
    else:
        hidden = (stand.secret, *passwords(stand.dsn))
        said = ChildLogs(stand.folder.logs, hidden).last_words(next(iter(stand.targets)))
        why = f"got {status}; the service said: {said}"
    raise ConfigError(f"One single delivery to {path} {why}.")


async def still_running(stand: Stand) -> str:
    """What the database has been busy with for a second or more, in words."""
    direct = await asyncpg.connect(
        stand.dsn, timeout=5, server_settings={"application_name": "onceproof-ledger"}
    )
    try:
        found = await direct.fetch(BUSY)
    finally:
        await direct.close(timeout=5)
    said = [f"{row['doing']} {row['sql']!r}" for row in found]
    return f"; the database {' and '.join(said)}" if said else "; the database is not busy"


async def through_the_wire(stand: Stand) -> None:
    """ConfigError if the service reaches its database past the wire, or reaches another one."""
    connections = (await stand.wire.state()).connections
    ours = [one.backend_pid for one in connections]
    direct = await asyncpg.connect(
        stand.dsn, timeout=5, server_settings={"application_name": "onceproof-ledger"}
    )
    try:
        past = await direct.fetchval(PAST, ours)
    finally:
        await direct.close(timeout=5)
    if past:
        raise ConfigError(
            f"{past} sessions of the database did not come through the wire: the service has its "
            "URL from elsewhere than `database_from` under [service], and nothing could be seen of "
            "its transactions."
        )
    await stand.wire.flush()
    if not connections and not traced(stand):
        raise ConfigError(
            "The service answered, and nobody has connected to the database, neither through the "
            "wire nor past it: it uses another database. Check `database_from` under [service]."
        )


def traced(stand: Stand) -> bool:
    """Whether anybody ever connected through the wire."""
    file = stand.folder.wire
    return file.exists() and file.stat().st_size > 0


async def settled(effects: Effects) -> dict[str, int]:
    """Wait for one effect in every book; ConfigError names those that have none, or more."""
    deadline = time.monotonic() + WORKED_SECONDS
    found = await effects.count()
    while not all(found.values()) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        found = await effects.count()
    if missing := [name for name, count in found.items() if not count]:
        raise ConfigError(
            f"One delivery got a 2xx, and {WORKED_SECONDS:.0f} s later there is nothing in "
            f"{', '.join(missing)}. Check these queries under [ledger] (shipments: "
            "`provider_from`), and that the service's other roles are declared under "
            "[service.roles]."
        )
    if several := [name for name, count in found.items() if count > 1]:
        raise ConfigError(
            f"One single delivery left more than one effect in {', '.join(several)}: each query "
            "under [ledger] must give one row for an order that was paid once."
        )
    return found


async def more_than(effects: Effects, first: dict[str, int]) -> bool:
    """Whether any book has more than before, soon."""
    deadline = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < deadline:
        if (await effects.count()) != first:
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False
