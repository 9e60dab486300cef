"""The register of planted anomalies: each is a change of a clean run, and the codes it must give.

The changes are in `planted_sender`, `planted_ledger` and `planted_wire`; `planted` puts them to
work. Most of them wrong one order, the `VICTIM`.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from results.records import Count
from tests.unit.results.world import FIRST, World

VICTIM = FIRST + 99
NEIGHBOUR = FIRST + 98  # of the victim, where an anomaly needs two orders
Change = Callable[[World], None]


class Plant(NamedTuple):
    """The codes that must be found, and no others; and what makes them."""

    codes: set[str]
    change: Change


PLANTS: dict[str, Plant] = {}


def plant(name: str, *beside: str) -> Callable[[Change], Change]:
    """Register a change: `name` is a code, or a code and another way to get it."""

    def note(change: Change) -> Change:
        assert name not in PLANTS, name
        PLANTS[name] = Plant({name.split(maxsplit=1)[0], *beside}, change)
        return change

    return note


def settled(world: World) -> None:
    """The victim as it should be."""
    world.settled_order(VICTIM, at_ms=2_000)


def counted(world: World) -> None:
    """Every other order is counted once, as it should be."""
    for key, state in world.states.items():
        once = (Count("credits", 1), Count("jobs", 1))
        world.states[key] = msgspec.structs.replace(state, counts=once)
