"""The one interface of a part of the benchmark: it opens what it needs and gives its peers.

A part is a module of this folder with one `PART`. Adding one: a module, its name in `parts`, and
its targets; nothing else knows of it. What a peer measures is up to it, what is done with that is
not: rounds, order, ratios and tables are the same for all.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cluster.journal import Journal
from results.benchmark import Target

__all__ = ["AsyncIterator", "Ground", "Measured", "Part", "Peer", "Peers"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a part may build on: a folder that is removed afterwards, a journal, the seed."""

    folder: Path
    journal: Journal  # whoever starts a process writes it there: `heal` ends what is left
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer found in one sample."""

    values: dict[
        str, float
    ]  # with their units as suffixes: "per_second", "p99_ms", "service_cpu_us"
    wrong: str = ""  # what was not exact, for a person; "" when all of it was


class Peer(Protocol):
    """One of those that are compared."""

    name: str

    async def measure(self, seconds: float) -> Measured:
        """Work for about so long and tell. ClusterError or HarnessError where it cannot."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Those that this machine has, and a sentence on each that it has not."""

    all: Sequence[Peer]
    missing: Sequence[str] = field(default=())


class Part(Protocol):
    """A part of the benchmark."""

    name: str
    title: str  # what is measured, one line
    targets: Sequence[Target]

    def open(self, ground: Ground) -> AbstractAsyncContextManager[Peers]:
        """Start what all samples share; end it on leaving."""
