"""Group commit: everything that came while the last COMMIT was in flight is the next transaction.

A database makes a transaction durable by waiting for its disk, and a service waits for its
database once a round trip. Both are paid once a transaction, not once an order, so whoever
commits sixty orders together pays a sixtieth of it. There is no timer: a delivery that finds
nobody under way is a batch of one and waits for nobody; under load the batches grow by themselves,
up to BATCH_MAX deliveries or BATCH_LINES_MAX lines. An SKU that all orders share is locked once a
batch instead of once an order.

What is decided is what `function` decides, in the same steps: the order's own row turns to 'paid'
once. Copies of one order in one batch are one entry; which of them came first is its decision, the
others are duplicates. Every webhook id of a paid order is logged, those of duplicates too, so
that the log does not depend on which of them met in a batch.

Nobody is answered before the COMMIT that holds his order, and nobody's answer depends on his
neighbours: if the database refuses a batch (one of its orders violates something, or it lost a
deadlock) nothing of it is there, and each delivery is tried again by itself. If the connection was
lost instead, or the time ran out, nobody knows whether it committed: that is never repeated here.
All of them get a 503, and the sender's retry finds out. A client that has gone takes nothing with
it: its order is in the batch already.

One task of the process does all of this on one connection, which it takes anew for each batch, and
ends when nothing waits any more. Its price is that of `function` (nothing outside of the database
sees into it) and that the deliveries of a batch share their latency.

Under REPEATABLE READ and SERIALIZABLE a batch that waited for another one's row fails; alone, each
delivery finds what that one has committed. Only a delivery that was alone already gets a 503.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import asyncpg

from service.database import TRANSIENT_ERRORS
from service.pool import Pool
from service.provider import Provider
from service.steps import order_key
from service.strategies import Answer
from service.webhook import Webhook

BATCH_MAX = 256
BATCH_LINES_MAX = 5_000  # no more are begun with: all in a batch wait for its longest orders
WAITING_MAX = 1000
PAID = "orders/paid"

_CALL = "SELECT fulfil_paid_orders($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"


class Waiting(NamedTuple):
    """A delivery and where its sender waits."""

    webhook: Webhook
    answer: asyncio.Future[Answer]


class Group:
    """The deliveries of one process that wait for the next transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Waiting] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def deliver(self, webhook: Webhook) -> Answer:
        """The answer, once the transaction that holds the delivery has committed."""
        if len(self._waiting) >= WAITING_MAX:
            return Answer(503, "too many deliveries wait")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(webhook, answer))
        if self._flushing is None:
            # The task begins in the loop's next turn: what came in this one is in its batch.
            self._flushing = asyncio.create_task(self._flush_all())
        return await answer

    async def _flush_all(self) -> None:
        try:
            while self._waiting:
                await self._flush(self._next_batch())
        finally:
            self._flushing = None

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        lines = 0
        while self._waiting and len(batch) < BATCH_MAX and lines < BATCH_LINES_MAX:
            batch.append(self._waiting.popleft())
            lines += len(batch[-1].webhook.lines)
        return batch

    async def _flush(self, batch: Sequence[Waiting]) -> None:
        """Commit a batch, or else each of it by itself, and answer all."""
        error = await self._try(batch)
        if error is None:
            return
        if len(batch) == 1 or _leaves_unknown(error):
            _fail(batch, error)
            return
        for at, waiting in enumerate(batch):
            error = await self._try([waiting])
            if error is not None and _leaves_unknown(error):
                _fail(batch[at:], error)  # the database has gone: nobody waits for it in turn
                return
            if error is not None:
                _fail([waiting], error)

    async def _try(self, batch: Sequence[Waiting]) -> Exception | None:
        """Commit and answer, or what went wrong."""
        try:
            outcomes = await self._commit([waiting.webhook for waiting in batch])
        except Exception as error:  # noqa: BLE001  each sender gets it
            return error
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not waiting.answer.done():  # its client may have gone
                waiting.answer.set_result(Answer(200, outcome))
        return None

    async def _commit(self, webhooks: Sequence[Webhook]) -> list[str]:
        """One statement, which is one transaction; an outcome for each delivery."""
        orders = _by_order(webhooks)
        async with self._pool.acquire() as connection:
            outcomes = await connection.fetchval(_CALL, *_columns(orders))
        told = dict(zip((id(copies[0]) for _, copies in orders), outcomes, strict=True))
        settled = dict(zip((key for key, _ in orders), outcomes, strict=True))
        return [
            told.get(id(webhook)) or _of_a_copy(settled[webhook.order_id, webhook.shop])
            for webhook in webhooks
        ]


_groups: WeakKeyDictionary[Pool, Group] = WeakKeyDictionary()


async def handle(webhook: Webhook, pool: Pool, provider: Provider) -> Answer:
    """Wait for the transaction that the delivery is in."""
    group = _groups.get(pool)
    if group is None:
        group = _groups[pool] = Group(pool)
    return await group.deliver(webhook)


def _by_order(webhooks: Sequence[Webhook]) -> list[tuple[tuple[int, str], list[Webhook]]]:
    """The copies of each order, in the order that rows are locked in; the first copy decides."""
    found: dict[tuple[int, str], list[Webhook]] = {}
    for webhook in webhooks:
        found.setdefault((webhook.order_id, webhook.shop), []).append(webhook)
    return sorted(found.items())


def _columns(orders: Sequence[tuple[tuple[int, str], list[Webhook]]]) -> tuple[Any, ...]:
    """What the function is given; Postgres counts places from 1."""
    deciding = [copies[0] for _, copies in orders]
    copies = sorted(
        (copy.webhook_id, at, copy is not first)
        for at, (first, (_, copies)) in enumerate(zip(deciding, orders, strict=True), 1)
        for copy in copies
    )
    lines = [(at, *line) for at, webhook in enumerate(deciding, 1) for line in webhook.lines]
    return (
        [webhook.shop for webhook in deciding],
        [webhook.order_id for webhook in deciding],
        [webhook.total_price for webhook in deciding],
        [webhook.lines_json for webhook in deciding],
        [order_key(webhook) for webhook in deciding],
        PAID,
        [webhook_id for webhook_id, _, _ in copies],
        [at for _, at, _ in copies],
        [not later for _, _, later in copies],
        [at for at, _, _ in lines],
        [sku for _, sku, _ in lines],
        [quantity for _, _, quantity in lines],
    )


def _of_a_copy(outcome: str) -> str:
    """What the others are told of an order that the first of them has settled."""
    return "duplicate order" if outcome == "fulfillment requested" else outcome


def _leaves_unknown(error: BaseException) -> bool:
    """Whether nobody can say if the transaction has committed, or no other one could be begun."""
    healed_alone = (asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError)
    return isinstance(error, TRANSIENT_ERRORS) and not isinstance(error, healed_alone)


def _fail(batch: Sequence[Waiting], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
