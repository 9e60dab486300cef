"""The orders of an exploration, each drawn from the seed, and their way to a replica."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from cluster.place import Replica
from loadtests.dialect import CANCELLED, CREATE, PAID
from loadtests.recorder import Recorder
from loadtests.traffic import PlannedOrder, order_number, plan_order
from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.seed_orders import seed_order
from scenarios.engine.sender import Sender, sender_session

WORKER = 97  # order ids of their own


@dataclass(slots=True)
class Orders:
    """Plans orders and sends what is about them; one history file for all."""

    lab: Laboratory
    sender: Sender
    planned: int = 0

    def next(self, deliveries: int, *, distinct: bool) -> PlannedOrder:
        """The next order, of one line: a short history reads best."""
        self.planned += 1
        number = order_number(self.lab.plan.seed, WORKER, self.planned)
        choices = self.lab.plan.random(f"explore:{self.planned}")
        order = plan_order(choices, number, 0.0, deliveries, distinct)
        return replace(order, lines=order.lines[:1])

    async def announce(self, order: PlannedOrder, replica: Replica) -> int | None:
        """Seed its rows and send orders/create; its status."""
        await seed_order(self.lab.plan.config, self.lab.dsn, order)
        if self.lab.plan.config.service.create_webhook is None:
            return 200  # the seed has made its row
        return await self.sender.deliver(order, 0, CREATE, replica.name)

    async def pay(
        self, order: PlannedOrder, copy: int, replica: Replica, attempt: int = 1, *,
        cancels: bool = False,
    ) -> int | None:  # fmt: skip
        """Deliver orders/paid, or orders/cancelled; the answer's status, None without one."""
        topic = CANCELLED if cancels else PAID
        return await self.sender.deliver(order, copy, topic, replica.name, attempt=attempt)


@asynccontextmanager
async def sending_orders(lab: Laboratory) -> AsyncIterator[Orders]:
    """Send as long as the context lasts; its end is the end of the history."""
    recorder = Recorder(lab.folder.history(WORKER))
    async with sender_session() as session:
        orders = Orders(lab, Sender(lab.plan.config, lab.secret, lab.targets, session, recorder))
        try:
            yield orders
        finally:
            recorder.end(worker=WORKER, planned=orders.planned, sent=orders.planned, shed=0)
