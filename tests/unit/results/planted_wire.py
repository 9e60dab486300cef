"""Planted by what the wire sees."""

from tests.unit.results.plants import NEIGHBOUR, VICTIM, plant, settled
from tests.unit.results.world import ONE_LINE, World


@plant("A3 by the wire")
def acknowledged_before_its_commit(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)  # between two looks: no snapshot saw it missing
    world.ship(VICTIM, at_ms=2_600)
    world.transact(VICTIM, replica="web-1", begin_ms=2_500, end_ms=2_540, connection=9)


@plant("A3 behind a read")
def read_and_acknowledged_before_its_commit(world: World) -> None:
    acknowledged_before_its_commit(world)
    sql = "SELECT status FROM orders WHERE order_id = $1"
    world.flights([(sql, (str(VICTIM),), 2_001, 2_002, "I", "I", "SELECT 1")], replica="web-1",
                  connection=9)  # fmt: skip


@plant("A3 after its create")
def acknowledged_before_its_commit_and_known_before(world: World) -> None:
    """What the news of the order wrote is no work on its payment."""
    world.transact(VICTIM, replica="web-1", begin_ms=1_900, end_ms=1_910, connection=9)
    acknowledged_before_its_commit(world)


@plant("A13", "A8")
def slept_through(world: World, *, rows: bool = True) -> None:
    """web-3 freezes inside its transaction; web-4 does the work; web-3 wakes and commits."""
    settled(world)
    world.crash("sleep", "in-transaction", kind="freeze", replica="web-3", at_ms=2_010,
                healed_ms=2_080)  # fmt: skip
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(VICTIM, replica="web-4", begin_ms=2_020, end_ms=2_030)
    if rows:
        world.hold_state(VICTIM, rows=2, movements=ONE_LINE * 2)


@plant("A13 and shipped", "A1", "A8")
def slept_and_shipped(world: World) -> None:
    slept_through(world)
    world.ship(VICTIM, at_ms=2_095, key="another row")


@plant("A13 by the stock alone", "A8")
def slept_and_took_stock(world: World) -> None:
    slept_through(world, rows=False)
    world.hold_state(VICTIM, movements=ONE_LINE * 2)


@plant("A13 of the dead", "A1")
def died_and_wrote(world: World) -> None:
    settled(world)
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090)
    world.transact(VICTIM, replica="web-4", begin_ms=2_020, end_ms=2_030)
    world.connection_ends(at_ms=2_015, replica="web-3")
    world.hold_state(VICTIM, rows=2)
    world.ship(VICTIM, at_ms=2_095, key="another row")


@plant("A14")
def one_client_for_all(world: World) -> None:
    settled(world)
    world.settled_order(NEIGHBOUR, at_ms=2_000)
    world.flights(
        [
            ("BEGIN", (), 2_001, 2_002, "I", "T", "BEGIN"),
            ("UPDATE orders SET a = $1", (str(VICTIM),), 2_002, 2_003, "T", "T", "UPDATE 1"),
            ("START TRANSACTION", (), 2_003, 2_004, "T", "T", "BEGIN"),
            ("UPDATE orders SET a = $1", (str(NEIGHBOUR),), 2_004, 2_005, "T", "T", "UPDATE 1"),
            ("COMMIT", (), 2_005, 2_006, "T", "I", "COMMIT"),
        ],
        replica="web-3",
    )
