"""Which orders are paid, when, and what is in them: a plan made from the seed alone.

Arrivals are a Poisson process (an open model: orders come when they come, however slow the
service is). The plan is partitioned over Locust's workers by index, so that no two workers ever
send one order and nobody has to be asked. The same seed gives the same plan, byte for byte.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from results.records import Line

ORDER_ID_BASE = 910_000_000_000_000_000
WORKERS_MAX = 100
ORDERS_MAX = 100_000_000
SHOP = "onceproof-demo.myshopify.com"
SKUS = tuple(f"ONCE-{number:03d}" for number in range(1, 101))
# Share of orders by number of line items (research: most baskets are small).
LINE_MIX = ((0.45, 1, 1), (0.35, 2, 3), (0.17, 4, 10), (0.03, 11, 20))


@dataclass(frozen=True, slots=True)
class Webhook:
    """One message with an id of its own; each delivery of it has the same body."""

    webhook_id: str
    copy: int


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One paid order: when it is announced, by which webhooks, and what it contains."""

    order_id: int
    event_id: str
    offset_seconds: float  # after the start of the run
    webhooks: tuple[Webhook, ...]
    lines: tuple[Line, ...]


def order_number(seed: int, worker: int, counter: int) -> int:
    """An order id: 18 digits, beyond 2^53, unique by seed, worker and counter."""
    return ORDER_ID_BASE + (seed % 1_000_000) * 10**10 + worker * 10**8 + counter


def plan_orders(
    *,
    seed: int,
    orders: int,
    per_second: float,
    copies: int,
    distinct_ids: bool,
    worker: int = 0,
    workers: int = 1,
) -> Iterator[PlannedOrder]:
    """This worker's share of the orders, in the order of their arrival."""
    choices = random.Random(f"{seed}:{worker}")
    share = orders // workers + (worker < orders % workers)
    at = 0.0
    for counter in range(share):
        at += choices.expovariate(per_second / workers)
        yield plan_order(choices, order_number(seed, worker, counter), at, copies, distinct_ids)


def plan_order(
    choices: random.Random, order_id: int, at: float, copies: int, distinct_ids: bool
) -> PlannedOrder:
    """One order, drawn from a seeded generator."""
    first = random_uuid(choices)
    ids = [first, *(random_uuid(choices) if distinct_ids else first for _ in range(copies - 1))]
    return PlannedOrder(
        order_id=order_id,
        event_id=random_uuid(choices),
        offset_seconds=at,
        webhooks=tuple(Webhook(webhook_id, copy) for copy, webhook_id in enumerate(ids)),
        lines=random_lines(choices),
    )


def random_uuid(choices: random.Random) -> str:
    """A UUID from the seeded generator, never from the operating system's."""
    return str(uuid.UUID(int=choices.getrandbits(128), version=4))


def random_lines(choices: random.Random) -> tuple[Line, ...]:
    """A basket of distinct SKUs."""
    draw = choices.random()
    for share, fewest, most in LINE_MIX:
        if draw < share or share == LINE_MIX[-1][0]:
            count = choices.randint(fewest, most)
            break
        draw -= share
    return tuple(
        Line(sku=sku, quantity=choices.randint(1, 3)) for sku in choices.sample(SKUS, count)
    )
