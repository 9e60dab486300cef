"""The register of innocent histories, each of which comes close to one anomaly.

The histories are in `innocent_sender`, `innocent_ledger` and `innocent_wire`; `beside` names codes
that such a history cannot help to have.
"""

from collections.abc import Callable
from typing import NamedTuple

from tests.unit.results.world import World

Change = Callable[[World], None]


class Innocent(NamedTuple):
    """The anomaly that it comes close to, what makes it, and what else is found in it."""

    code: str
    change: Change
    beside: frozenset[str]


INNOCENT: dict[str, Innocent] = {}


def innocent(code: str, *beside: str) -> Callable[[Change], Change]:
    """Register a history under its code and the name of its function."""

    def note(change: Change) -> Change:
        INNOCENT[f"{code} {change.__name__}"] = Innocent(code, change, frozenset(beside))
        return change

    return note
