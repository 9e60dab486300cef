"""Runs with nothing wrong in them: `clean(seed)` is a valid run of a few orders."""

import random

from results.bundle import Bundle
from results.records import Line, Outcome
from tests.unit.results.world import FIRST, ONE_LINE, OTHER_LINE, SKUS, World


def clean_world(seed: int = 0, orders: int | None = None, **manifest: object) -> World:
    """A valid run so far, without its end.

    Some orders need a retry, some sell two skus, some are cancelled or forged, some live through a
    crash, some are asked for again when they are settled.
    """
    chance = random.Random(seed)
    world = World(**manifest)
    world.look(at_ms=0)
    for number in range(chance.randint(1, 6) if orders is None else orders):
        order, at_ms = FIRST + number, 100.0 * (number + 1)
        lines = chance.choice([
            ONE_LINE, tuple(Line(sku=sku, quantity=chance.randint(1, 3)) for sku in SKUS)
        ])  # fmt: skip
        if chance.random() < 0.5:
            world.deliver(order, at_ms=at_ms - 50, topic="orders/create", lines=lines)
        world.settled_order(order, at_ms=at_ms, lines=lines)
        if chance.random() < 0.4:
            world.deliver(order, at_ms=at_ms, copy=2, outcome=Outcome.INFO, status=500, lines=lines)
            world.deliver(order, at_ms=at_ms + 60, copy=2, attempt=2, lines=lines)
        if chance.random() < 0.3:
            world.ship(order, at_ms=at_ms + 25, effect=False)
        if chance.random() < 0.2:
            world.crash(f"clean-{number}", "commit-dropped", at_ms=at_ms, healed_ms=at_ms + 40)
            world.repeat(order, at_ms=at_ms + 30, copy=3, attempts=range(1, 4), every_ms=2,
                         took_ms=1, status=503, lines=lines)  # fmt: skip
            world.deliver(order, at_ms=at_ms + 70, copy=3, attempt=4, lines=lines)
        if chance.random() < 0.2:
            world.deliver(order, at_ms=at_ms + 35, authentic=False, outcome=Outcome.FAIL,
                          status=401, webhook=f"forged-{order}", lines=OTHER_LINE)  # fmt: skip
        if chance.random() < 0.7:
            world.look(at_ms=at_ms + 30)
        if chance.random() < 0.2:
            world.deliver(order, at_ms=at_ms + 85, topic="orders/cancelled", lines=lines)
            world.hold_state(order, status="cancelled", movements=lines)
    return world


def clean(seed: int = 0) -> Bundle:
    """A whole run that is valid."""
    world = clean_world(seed)
    world.end()
    return world.bundle()
