"""Bundles made by hand with an anomaly in them, one way or more for each code.

`planted(name)` is a clean run with one more order, `VICTIM`, that has the anomaly; `DECLARED` says
which codes must then be found, and no others.
"""

from results.bundle import Bundle
from tests.unit.results import planted_ledger, planted_sender, planted_wire
from tests.unit.results.clean import clean_world
from tests.unit.results.plants import NEIGHBOUR, PLANTS, VICTIM, settled

__all__ = ["DECLARED", "FILES", "NEIGHBOUR", "VICTIM", "planted", "settled"]

FILES = (planted_sender, planted_ledger, planted_wire)


def place(name: str) -> tuple[int, bool]:
    """By code; the plant that is named after its code alone comes first."""
    return int(name.split(maxsplit=1)[0][1:]), " " in name


DECLARED = {name: PLANTS[name].codes for name in sorted(PLANTS, key=place)}


def planted(name: str, **manifest: object) -> Bundle:
    """A run with one anomaly: `name` is a code, or a code and another way to get it."""
    world = clean_world(3, **manifest)
    PLANTS[name].change(world)
    world.end()
    return world.bundle()
