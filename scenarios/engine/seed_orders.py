"""Rows that must be there before an order is announced, by the `seed` SQL of the onceproof.toml.

A service may expect the order's own row, or an account that is credited. The plan of the traffic
is known from its seed, so all of it is written before anything is sent, straight to the database.
It stands for what came before the payment: where a scenario's orders have no row yet (`row_absent`,
`row_late`) nothing is seeded.

Limits: `{order_id}` and `{shop}` are filled in as they are, both are ours and have no quotes.
"""

from collections.abc import Iterable

import asyncpg

from loadtests.schedule import EXTENSION_MAX
from loadtests.traffic import PlannedOrder, plan_orders
from results.errors import ConfigError
from scenarios.engine.config import ServiceConfig
from scenarios.engine.plan import RunPlan
from scenarios.engine.variables import filled

ORDERS_AT_ONCE = 500
SECONDS = 120.0


async def seed_orders(plan: RunPlan, dsn: str) -> None:
    """Write the rows of every order that can come; ConfigError with the server's own words."""
    sql, traffic = plan.config.service.seed, plan.scenario.traffic
    if sql is None or traffic.create != "before":
        return
    orders = plan_orders(
        seed=plan.seed, orders=traffic.orders * (EXTENSION_MAX if plan.scenario.faults else 1),
        per_second=traffic.per_second, copies=traffic.duplicates.copies,
        distinct_ids=traffic.duplicates.ids == "distinct", mix=traffic.mix,
    )  # fmt: skip
    await write(dsn, (seed_of(sql, order) for order in orders))


async def seed_order(config: ServiceConfig, dsn: str, order: PlannedOrder) -> None:
    """Write the rows of one order."""
    if config.service.seed is not None:
        await write(dsn, [seed_of(config.service.seed, order)])


async def write(dsn: str, statements: Iterable[str]) -> None:
    """Run them, many at once; ConfigError with the server's own words and one to try by hand."""
    connection = await asyncpg.connect(dsn, timeout=5, command_timeout=SECONDS)
    waiting: list[str] = []
    try:
        for statement in statements:
            waiting.append(statement)
            if len(waiting) == ORDERS_AT_ONCE:
                await connection.execute(";\n".join(waiting))
                waiting.clear()
        if waiting:
            await connection.execute(";\n".join(waiting))
    except asyncpg.PostgresError as error:
        raise ConfigError(
            f"The SQL `seed` under [service] of onceproof.toml fails: {error}. Try it by hand "
            f"after the schema command: {waiting[0]}"
        ) from None
    finally:
        await connection.close(timeout=5)


def seed_of(sql: str, order: PlannedOrder) -> str:
    """The statements for one order."""
    places = {"order_id": str(order.order_id), "shop": order.shop}
    return filled(sql.strip().removesuffix(";"), places)
