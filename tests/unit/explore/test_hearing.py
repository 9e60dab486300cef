"""Whose step it is, where two deliveries share a process: what is known, and what is a guess."""

import asyncio
from unittest.mock import Mock

import pytest

from cluster.place import Replica
from cluster.wire.flight import Flight
from cluster.wire.rules import Park
from loadtests.traffic import PlannedOrder, plan_orders
from scenarios.engine.explore.actor import Actor
from scenarios.engine.explore.hearing import Hearing
from scenarios.engine.explore.played import Played

FIRST, SECOND = 11, 12  # connections


class World:
    """Two deliveries in one process, and a wire that shows the flight it is told to."""

    def __init__(self, order: PlannedOrder) -> None:
        self.lab = Mock()
        self.lab.targets = {"web-0": ""}
        self.lab.wire.backends.return_value = ()
        self.hearing = Hearing(self.lab, Mock(), Mock())
        replica = Replica("web-0", "web", "pid:1:0", "", 0, True)
        self.actors = [Actor(i, replica, webhook) for i, webhook in enumerate(order.webhooks)]
        for actor in self.actors:
            actor.sending = asyncio.get_running_loop().create_future()  # type: ignore[assignment]
        self.played = Played(order)
        self.hearing.begin(self.actors, self.played)

    def arrives(self, connection: int, step: int, *keys: str) -> Actor:
        """A step is held: who is it taken for? It is let go again."""
        park = Park(
            hold_id="h", rule_id="r", replica="web-0", connection=connection, backend_pid=1,
            point="before", parked_ns=0, sql=("SELECT 1 FROM x",), keys=keys, others_in_flight=0,
        )  # fmt: skip
        self.lab.wire.flight.return_value = Flight(
            1, "I" if step == 1 else "T", step, sql=list(park.sql), _keys=list(keys)
        )
        self.lab.ears.on_park(park)
        (actor,) = [one for one in self.actors if one.park is park]
        return actor

    def goes(self, actor: Actor) -> None:
        """Its step is let go."""
        actor.taken()
        self.hearing.running = actor


@pytest.fixture
async def world() -> World:
    order = next(plan_orders(seed=1, orders=1, per_second=1.0, copies=2, distinct_ids=True))
    return World(order)


async def test_the_only_one_that_stands_at_no_gate_is_meant(world: World) -> None:
    a, b = world.actors
    assert world.arrives(FIRST, 1, a.webhook.webhook_id) is a
    assert world.arrives(SECOND, 1) is b, "the other one is held"
    world.goes(a)
    assert world.arrives(FIRST, 2) is a
    assert world.played.unsure == 0


async def test_an_id_decides(world: World) -> None:
    a, b = world.actors
    world.hearing.running = a
    assert world.arrives(FIRST, 1, b.webhook.webhook_id) is b
    assert world.played.unsure == 0


async def test_a_transaction_is_of_whoever_began_it(world: World) -> None:
    a, b = world.actors
    world.arrives(FIRST, 1, a.webhook.webhook_id)
    world.arrives(SECOND, 1, b.webhook.webhook_id)
    world.goes(a)
    world.goes(b)
    assert world.arrives(FIRST, 2) is a, "the other has a session of its own"
    assert world.played.unsure == 0


async def test_who_waited_is_a_guess_where_a_session_is_shared(world: World) -> None:
    a, b = world.actors
    world.arrives(FIRST, 1, a.webhook.webhook_id)
    world.goes(a)
    world.arrives(FIRST, 1, b.webhook.webhook_id)
    world.goes(b)
    assert world.arrives(FIRST, 1) is a, "it has waited longer than who was let go"
    assert world.played.unsure == 1


async def test_a_transaction_of_both_is_counted(world: World) -> None:
    a, b = world.actors
    world.arrives(FIRST, 1, a.webhook.webhook_id)
    world.goes(a)
    world.arrives(FIRST, 2, b.webhook.webhook_id)
    assert world.played.unsure == 1


async def test_what_comes_beside_a_held_step_is_counted(world: World) -> None:
    a, _ = world.actors
    world.arrives(FIRST, 1, a.webhook.webhook_id)
    with pytest.raises(ValueError, match="unpack"):  # it waits behind that one
        world.arrives(SECOND, 1, a.webhook.webhook_id)
    assert world.played.beside == 1 and world.hearing.effect.everything
