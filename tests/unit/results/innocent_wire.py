"""Innocent by what the wire saw: A13 and A14."""

from tests.unit.results.innocent import innocent
from tests.unit.results.planted import NEIGHBOUR, VICTIM, settled
from tests.unit.results.world import ONE_LINE, World

PAID_0 = f"paid-{VICTIM}-0"
NAMED = "UPDATE orders SET a = $1"


def sleeper(world: World, *, replica: str = "web-3", **more: object) -> None:
    """A transaction of 2,005 to 2,090 ms in a replica that was stopped at 2,015 ms."""
    world.transact(VICTIM, replica=replica, begin_ms=2_005, end_ms=2_090, connection=30,
                   **more)  # type: ignore[arg-type]  # fmt: skip
    world.connection_ends(at_ms=2_015, replica=replica, connection=30)


def successor(
    world: World, *, replica: str = "web-4", begin_ms: float = 2_020, end_ms: float = 2_030,
    **more: object,
) -> None:  # fmt: skip
    world.transact(VICTIM, replica=replica, begin_ms=begin_ms, end_ms=end_ms, connection=40,
                   **more)  # type: ignore[arg-type]  # fmt: skip


def shipped_twice(world: World) -> None:
    """The harm that makes it worth asking whose late write did it."""
    settled(world)
    world.hold_state(VICTIM, rows=2)
    world.ship(VICTIM, at_ms=2_095, key="another row")


@innocent("A13")
def a_late_write_that_changed_nothing(world: World) -> None:
    settled(world)
    sleeper(world)
    successor(world)


@innocent("A13", "A1")
def a_relay_shipped_twice_what_was_there_once(world: World) -> None:
    settled(world)
    world.ship(VICTIM, at_ms=2_095, key="another row")
    sleeper(world)
    successor(world)


@innocent("A13", "A1")
def the_late_one_wrote_the_record_of_its_delivery_alone(world: World) -> None:
    shipped_twice(world)
    sleeper(world, keys=(str(VICTIM), PAID_0))
    successor(world)


@innocent("A13", "A1")
def the_late_one_says_not_what_it_wrote(world: World) -> None:
    shipped_twice(world)
    sleeper(world, tag="SELECT 1")
    successor(world)


@innocent("A13", "A1")
def the_successor_wrote_no_row(world: World) -> None:
    shipped_twice(world)
    sleeper(world)
    successor(world, tag="UPDATE 0")


@innocent("A13", "A1")
def the_successor_came_after_it(world: World) -> None:
    shipped_twice(world)
    sleeper(world)
    successor(world, end_ms=2_100)


@innocent("A13", "A1")
def the_successor_was_done_when_it_died(world: World) -> None:
    shipped_twice(world)
    sleeper(world)
    successor(world, begin_ms=2_006, end_ms=2_014)


@innocent("A13", "A1")
def the_successor_rolled_back(world: World) -> None:
    shipped_twice(world)
    sleeper(world)
    successor(world, end="ROLLBACK")


@innocent("A13", "A1")
def both_were_of_one_replica(world: World) -> None:
    shipped_twice(world)
    sleeper(world)
    successor(world, replica="web-3")


@innocent("A13", "A1")
def the_successor_worked_on_another_order(world: World) -> None:
    shipped_twice(world)
    world.settled_order(NEIGHBOUR, at_ms=2_200)
    sleeper(world)
    world.transact(NEIGHBOUR, replica="web-4", begin_ms=2_020, end_ms=2_030, connection=40)


@innocent("A13", "A1")
def it_was_the_server_that_ended(world: World) -> None:
    shipped_twice(world)
    sleeper(world)  # of another order: only so is anything late in this run
    world.statements = [one for one in world.statements if one.connection != 30]
    world.transact(VICTIM, replica="web-5", begin_ms=2_005, end_ms=2_090, connection=50)
    world.connection_ends(at_ms=2_015, replica="web-5", connection=50, event="server-eof")
    world.transact(NEIGHBOUR, replica="web-3", begin_ms=2_005, end_ms=2_090, connection=30)
    successor(world)


@innocent("A13", "A1", "A8")
def it_began_after_the_freeze(world: World) -> None:
    shipped_twice(world)
    world.hold_state(VICTIM, rows=2, movements=ONE_LINE * 2)
    world.crash("f", "in-transaction", kind="freeze", replica="web-3", at_ms=2_004, healed_ms=2_080)
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(NEIGHBOUR, replica="web-3", begin_ms=2_003, end_ms=2_090, connection=9)
    successor(world, begin_ms=2_081, end_ms=2_085)


@innocent("A13", "A1")
def its_replica_was_only_asked_to_end(world: World) -> None:
    shipped_twice(world)
    world.crash("f", "blind", kind="graceful", replica="web-3", at_ms=2_015, healed_ms=2_080)
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(NEIGHBOUR, replica="web-5", begin_ms=2_005, end_ms=2_090, connection=9)
    world.connection_ends(at_ms=2_015, replica="web-5", connection=9)
    successor(world)


def two_orders(world: World, *, replica: str = "web-3", **changes: object) -> None:
    """One open transaction in which flights name two orders."""
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    second = str(changes.get("second", "SELECT 1"))
    other = changes.get("other", (str(NEIGHBOUR),))
    world.flights(
        [
            ("BEGIN", (), 2_001, 2_002, "I", "T", "BEGIN"),
            (NAMED, (str(VICTIM),), 2_002, 2_003, "T", "T", "UPDATE 1"),
            (second, (), 2_003, 2_004, "T", "T", second),
            (NAMED, other, 2_004, 2_005, "T", "T", "UPDATE 1"),  # type: ignore[list-item]
            ("COMMIT", (), 2_005, 2_006, "T", "I", "COMMIT"),
        ],
        replica=replica, connection=9,
    )  # fmt: skip


@innocent("A14")
def an_honest_batch(world: World) -> None:
    two_orders(world)


@innocent("A14")
def a_nested_begin_of_one_order(world: World) -> None:
    two_orders(world, second="BEGIN", other=(str(VICTIM),))


@innocent("A14")
def a_relay(world: World) -> None:
    two_orders(world, second="BEGIN", replica="relay-0")


@innocent("A14")
def a_payload_full_of_ids(world: World) -> None:
    two_orders(world, second="BEGIN", other=(str(VICTIM), str(NEIGHBOUR)))


@innocent("A14")
def one_after_the_other_on_one_connection(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    world.transact(VICTIM, replica="web-3", begin_ms=2_001, end_ms=2_002)
    world.transact(NEIGHBOUR, replica="web-3", begin_ms=2_003, end_ms=2_004)


@innocent("A3")
def committed_under_ids_that_nobody_knows(world: World) -> None:
    """A snapshot shows it kept; only a worker names the order, much later."""
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)
    world.look(at_ms=2_015)
    world.ship(VICTIM, at_ms=2_020)
    world.transact(VICTIM, replica="web-1", begin_ms=2_500, end_ms=2_540, connection=9)


@innocent("A3")
def named_by_a_worker_alone(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_020)
    world.transact(VICTIM, replica="webjobs-0", begin_ms=2_500, end_ms=2_540, connection=9)


@innocent("A3")
def committed_in_a_batch_of_several_orders(world: World) -> None:
    """Its own transaction, much later, is that of a duplicate."""
    settled(world)
    keys = tuple(f"{order}" for order in (VICTIM, NEIGHBOUR))
    webhooks = tuple(f"paid-{order}-0" for order in (VICTIM, NEIGHBOUR))
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    world.statements.clear()
    world.transact(VICTIM, replica="web-1", begin_ms=2_001, end_ms=2_006, keys=keys + webhooks)
    world.transact(VICTIM, replica="web-2", begin_ms=2_500, end_ms=2_540)
