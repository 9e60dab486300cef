"""Histories in which anything may be anywhere, from a seed: the checker against the oracle."""

import random

from results.bundle import Bundle
from results.records import Line, Outcome, Stage
from tests.unit.results.planted import DECLARED
from tests.unit.results.plants import NEIGHBOUR, PLANTS, VICTIM
from tests.unit.results.world import COUNTED, FIRST, ONE_LINE, OTHER_SHOP, SHOP, SKUS, World

KINDS = ("deliver", "deliver", "repeat", "ship", "state", "state", "look", "leak", "fault", "hold",
         "transact", "shared", "late")  # fmt: skip
STATUSES = {
    Outcome.OK: (200, 202),
    Outcome.FAIL: (None, 401, 404),
    Outcome.INFO: (None, 301, 500, 503),
}
TOPICS = ("orders/paid", "orders/paid", "orders/paid", "orders/create", "orders/cancelled")
LINES = (ONE_LINE, ONE_LINE, ONE_LINE, (), (Line(sku=SKUS[1], quantity=1),))


class Chaos:
    """One such history; every choice comes from the seed."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        declared = tuple(name for name in COUNTED if chance.random() < 0.85)
        self.world = World(ledger_queries=declared, attempts=chance.choice([3, 9]))
        self.shops = [SHOP, OTHER_SHOP] if chance.random() < 0.2 else [SHOP]
        self.orders = [FIRST + number for number in range(chance.randint(1, 3))]
        self.at_ms = 10.0

    def build(self) -> Bundle:
        chance, world = self.chance, self.world
        world.look(at_ms=0)
        if chance.random() < 0.4:  # an anomaly, and whatever may happen to it
            PLANTS[chance.choice(list(DECLARED))].change(world)
            self.orders, self.at_ms = [VICTIM, NEIGHBOUR], chance.uniform(2_060, 2_250)
        kinds = chance.sample(KINDS, chance.randint(3, len(KINDS)))
        for number in range(chance.randint(1, 14)):
            self.at_ms += chance.uniform(1, 20)
            # Copies and connections of their own, beyond those of the plants.
            self.step(chance.choice(kinds), number + 10, chance.choice(self.orders))
        world.end(at_ms=self.at_ms + chance.uniform(0, 60))
        return world.bundle()

    def step(self, kind: str, number: int, order: int) -> None:
        chance, world, at_ms = self.chance, self.world, self.at_ms
        shop = chance.choice(self.shops)
        match kind:
            case "deliver":
                outcome = chance.choice([*Outcome, Outcome.OK, None])
                world.deliver(
                    order, at_ms=at_ms, copy=number, took_ms=chance.uniform(1, 40),
                    outcome=outcome, status=chance.choice(STATUSES[outcome]) if outcome else None,
                    topic=chance.choice(TOPICS), authentic=chance.random() < 0.85, shop=shop,
                    lines=chance.choice(LINES),
                )  # fmt: skip
            case "repeat":
                outcome = chance.choice([Outcome.INFO, Outcome.INFO, Outcome.FAIL])
                last = chance.choice([3, 9, 9])
                world.repeat(
                    order, at_ms=at_ms, copy=number, attempts=range(1, last + 1), shop=shop,
                    every_ms=chance.uniform(1, 20), took_ms=chance.uniform(1, 9), outcome=outcome,
                    status=chance.choice(STATUSES[outcome]),
                )  # fmt: skip
                if chance.random() < 0.3:
                    world.deliver(order, at_ms=at_ms + 300, copy=number, attempt=10, shop=shop)
            case "ship":
                shop = chance.choice([shop, ""]) if len(self.shops) == 1 else shop
                world.ship(order, at_ms=at_ms + chance.choice([0, 0, -30, 50]), shop=shop,
                           effect=chance.random() < 0.8,
                           lines=chance.choice([None, None, None, (), ONE_LINE]))  # fmt: skip
            case "state":
                self.state(order, shop)
            case "look":
                world.look(at_ms=at_ms)
            case "leak" if chance.random() < 0.2:
                world.leaked[chance.choice(SKUS)] = chance.randint(1, 3)
            case "fault":
                world.crash(
                    f"fault-{number}", "blind", kind=chance.choice(["crash", "freeze", "graceful"]),
                    at_ms=at_ms, healed_ms=at_ms + chance.uniform(0, 40),
                    replica=chance.choice(["web-1", "web-2"]),
                    until=chance.choice([Stage.HEAL, Stage.HEAL, Stage.INJECT, Stage.ASKED]),
                )  # fmt: skip
            case "hold":
                world.hold(parked_ms=at_ms, released_ms=at_ms + chance.uniform(0, 40))
            case "transact" | "shared" | "late":
                self.flights(kind, number, order)

    def state(self, order: int, shop: str) -> None:
        """What the ledger holds of an order from now on; half of them are as they should be."""
        chance = self.chance
        whole = chance.random() < 0.5
        entries = [one.webhook_id for one in self.world.intents] or ["unknown"]
        self.world.hold_state(
            order, shop=shop,
            status="paid" if whole else chance.choice(["paid", "pending", "cancelled", None]),
            rows=1 if whole else chance.randint(0, 2),
            logs=1 if whole else chance.randint(0, 2),
            ids=(chance.choice(entries),) if chance.random() < 0.2 else (),
            counts={
                "credits": 1 if whole else chance.choice([0, 1, 1, 2]),
                "jobs": 1 if whole else chance.choice([1, 1, 3]),
            },
            movements=ONE_LINE if whole else chance.choice([
                (), ONE_LINE * 2, (Line(sku=SKUS[1], quantity=1),),
                (Line(sku=SKUS[0], quantity=1),) * 2, (*ONE_LINE, Line(sku=SKUS[0], quantity=-2)),
            ]),
        )  # fmt: skip

    def flights(self, kind: str, number: int, order: int) -> None:
        """One transaction; two of one client; or one that another overtakes while it sleeps."""
        chance, world, at_ms = self.chance, self.world, self.at_ms
        replica = chance.choice(["web-1", "web-2", "relay-0"])
        tag = chance.choice(["INSERT 0 1", "INSERT 0 1", "INSERT 0 0", "SELECT 1"])
        end = chance.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        keys = [str(order)]
        if chance.random() < 0.3 and world.intents:
            keys.append(chance.choice(world.intents).webhook_id)
        if kind == "shared":
            other = str(chance.choice(self.orders))
            second = chance.choice(["BEGIN", "SELECT 1"])
            world.flights(
                [
                    ("BEGIN", (), at_ms, at_ms + 1, "I", "T", "BEGIN"),
                    ("UPDATE a", tuple(keys), at_ms + 1, at_ms + 2, "T", "T", "UPDATE 1"),
                    (second, (), at_ms + 2, at_ms + 3, "T", "T", second),
                    ("UPDATE b", (other,), at_ms + 3, at_ms + 4, "T", "T", "UPDATE 1"),
                    (end, (), at_ms + 4, at_ms + 5, "T", "I", end),
                ],
                replica=replica, connection=number,
            )  # fmt: skip
            return
        long_ms = 40 if kind == "late" else 5
        world.transact(order, replica=replica, begin_ms=at_ms, end_ms=at_ms + long_ms, end=end,
                       connection=number, keys=tuple(keys), tag=tag)  # fmt: skip
        if kind == "late":
            if chance.random() < 0.7:
                world.connection_ends(
                    at_ms=at_ms + 5, replica=replica, connection=number,
                    event=chance.choice(["client-eof", "cut", "server-eof", "open"]),
                )  # fmt: skip
            world.transact(order, replica=chance.choice(["web-1", "web-3"]), begin_ms=at_ms + 10,
                           end_ms=at_ms + chance.choice([20, 60]), connection=number + 50,
                           tag=tag)  # fmt: skip


def chaotic(seed: int) -> Bundle:
    """Anything may be anywhere."""
    return Chaos(seed).build()
