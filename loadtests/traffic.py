"""Which orders are paid, when, and what is in them: a plan made from the seed alone.

Arrivals are a Poisson process (an open model: orders come when they come, however slow the
service is). The plan is partitioned over Locust's workers by index, so that no two workers ever
send one order and nobody has to be asked. The same seed gives the same plan, byte for byte.

What else may come beside an order's own burst is in its `Mix`: deliveries that repeat, precede,
contradict or forge it. It is drawn from a generator of its own, so that a mix changes nothing of
the orders themselves.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from results.records import Line

ORDER_ID_BASE = 910_000_000_000_000_000
ORDER_ID_STEP = 1_000  # 15 digits that count: JavaScript's numbers hold and print them exactly
WORKERS_MAX = 100
ORDERS_MAX = 10_000_000
SHOP = "onceproof-demo.myshopify.com"
OTHER_SHOP = "onceproof-other.myshopify.com"
FORGED_OFFSET = 5_000_000 * ORDER_ID_STEP  # a forged delivery names an id that no real one has
FORGERIES = ("unsigned", "garbled", "short", "wrong-secret", "tampered")
SKUS = tuple(f"ONCE-{number:03d}" for number in range(1, 101))
# Share of orders by number of line items (research: most baskets are small).
LINE_MIX = ((0.45, 1, 1), (0.35, 2, 3), (0.17, 4, 10), (0.03, 11, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What comes beside the bursts, each as a share of the orders from 0 to 1.

    The letters name classes of deliveries that Shopify is known to make.
    """

    again: float = 0.0  # D: the same webhook once more after its 2xx
    repaid: float = 0.0  # P: the order is paid again, a new event under a new webhook id
    cancelled: float = 0.0  # T: orders/cancelled is acknowledged before orders/paid comes
    forged: float = 0.0  # B: a delivery that nobody authentic sent, for an order of its own
    two_shops: bool = False  # G: a second shop pays an order with the same id at the same time
    rotate_ids: bool = False  # X: a retry comes under a new webhook id

    def __post_init__(self) -> None:
        for name in ("again", "repaid", "cancelled", "forged"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name}: expected a share from 0 to 1")


NO_MIX = Mix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rush:
    """More orders a second for the first seconds, as when a sale opens; then calm."""

    seconds: float = 0.0
    per_second: float = 1.0

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ValueError("--rush-seconds: expected 0 or more")
        if self.per_second <= 0:
            raise ValueError("--rush-rate: expected more than 0 orders per second")


NO_RUSH = Rush()


@dataclass(frozen=True, slots=True)
class Webhook:
    """One message with an id of its own; each delivery of it has the same body."""

    webhook_id: str
    copy: int
    kind: str = "paid"  # "paid", "again", "repaid"


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One paid order: when it is announced, by which webhooks, and what it contains."""

    order_id: int
    event_id: str
    offset_seconds: float  # after the start of the run
    webhooks: tuple[Webhook, ...]
    lines: tuple[Line, ...]
    shop: str = SHOP
    later: tuple[Webhook, ...] = ()  # delivered once the burst has been answered
    cancelled: bool = False
    forgery: str = ""  # one of FORGERIES


def order_number(seed: int, worker: int, counter: int) -> int:
    """An order id: 18 digits, unique by seed (of 10 000), worker and counter.

    It ends with three zeros: a service whose language keeps numbers as doubles must not be taken
    for one that confuses orders. Shopify's own ids (14 digits) do that to nobody either.
    """
    return ORDER_ID_BASE + ((seed % 10_000) * 10**9 + worker * 10**7 + counter) * ORDER_ID_STEP


def plan_orders(
    *,
    seed: int,
    orders: int,
    per_second: float,
    copies: int,
    distinct_ids: bool,
    worker: int = 0,
    workers: int = 1,
    mix: Mix = NO_MIX,
    rush: Rush = NO_RUSH,
) -> Iterator[PlannedOrder]:
    """This worker's share of the orders, in the order of their arrival."""
    choices = random.Random(f"{seed}:{worker}")
    extras = random.Random(f"{seed}:{worker}:mix")
    share = orders // workers + (worker < orders % workers)
    at, number = 0.0, 0
    for counter in range(share):
        second = mix.two_shops and counter % 2 == 1
        if not second:
            at = arrival(at, choices.expovariate(1 / workers), per_second, rush)
            number = order_number(seed, worker, counter)
        order = plan_order(choices, number, at, copies, distinct_ids)
        yield mixed(extras, order, mix, shop=OTHER_SHOP if second else SHOP)


def arrival(at: float, wait: float, per_second: float, rush: Rush) -> float:
    """When the next order comes; `wait` is how long it would take at one order a second.

    One draw for each order, whatever the rate: a rush changes when orders come, not what they are.
    """
    if at < rush.seconds:
        hurried = at + wait / rush.per_second
        if hurried <= rush.seconds:
            return hurried
        at, wait = rush.seconds, wait - (rush.seconds - at) * rush.per_second
    return at + wait / per_second


def mixed(choices: random.Random, order: PlannedOrder, mix: Mix, shop: str) -> PlannedOrder:
    """The order with what comes beside it."""
    first, copies = order.webhooks[0], len(order.webhooks)
    later = []
    if choices.random() < mix.again:
        later.append(Webhook(first.webhook_id, copies, "again"))
    if choices.random() < mix.repaid:
        later.append(Webhook(random_uuid(choices), copies + 1, "repaid"))
    cancelled = choices.random() < mix.cancelled
    forgery = choices.choice(FORGERIES) if choices.random() < mix.forged else ""
    return replace(order, shop=shop, later=tuple(later), cancelled=cancelled, forgery=forgery)


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
