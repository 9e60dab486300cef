"""Whether what a run used became flat: the growth from its second quarter to its last.

The first quarter is warm-up: pools fill, caches fill, Python's allocator finds its size. Medians of
whole quarters, so that one crash or one garbage collection decides nothing. What a run writes
grows with its traffic by design; of the disk the *rate* is compared instead of the size.

Of the write-ahead log nothing is said: the server keeps what it has made of it, a segment of 16 MB
at a time, up to its `max_wal_size`. Open files of Postgres follow its connections.
"""

import statistics
from collections.abc import Sequence

from msgspec import Struct

from results.records import Resources

LOOKS_MIN = 40  # fewer say nothing
BOUNDED_BY_ITSELF = "write-ahead log"
FLAT = 0.10  # growth of a tenth or less, from the second quarter to the last


class Growth(Struct, frozen=True):
    """One line of the chart: what it is, its level early and late, and their ratio less 1."""

    what: str  # "memory of web", "open files of web", "connections", "bytes a second: run folder"
    early: float
    late: float
    share: float | None  # 0.02: grew by 2 %; None: there was nothing early


def growth(looks: Sequence[Resources]) -> tuple[Growth, ...]:
    """All lines of a run, () if it was too short."""
    if len(looks) < LOOKS_MIN:
        return ()
    quarter = len(looks) // 4
    early, late = looks[quarter : 2 * quarter], looks[-quarter:]
    found = []
    for name, table in (("memory", "memory_bytes"), ("open files", "open_files")):
        for role in sorted({role for look in looks for role in getattr(look, table)}):
            levels = [
                statistics.median(getattr(look, table).get(role, 0) for look in part)
                for part in (early, late)
            ]
            found.append(_grown(f"{name} of {role}", *levels))
    levels = [statistics.median(look.connections for look in part) for part in (early, late)]
    found.append(_grown("connections", *levels))
    places = {place for look in looks for place in look.disk_bytes}
    for place in sorted(places - {BOUNDED_BY_ITSELF}):
        rates = [_rate(part, place) for part in (early, late)]
        found.append(_grown(f"bytes a second: {place}", *rates))
    return tuple(found)


def not_flat(found: Sequence[Growth]) -> tuple[Growth, ...]:
    """Those that grew by more than `FLAT`, the worst first."""
    grown = [one for one in found if one.share is None or one.share > FLAT]
    return tuple(sorted(grown, key=lambda one: -(one.share or 0)))


def _grown(what: str, early: float, late: float) -> Growth:
    if not early:
        return Growth(what, early, late, None if late > 0 else 0.0)
    return Growth(what, early, late, late / early - 1)


def _rate(looks: Sequence[Resources], place: str) -> float:
    """Bytes a second over these looks; what shrinks has none."""
    first, last = looks[0], looks[-1]
    seconds = max(1e-9, (last.at_ns - first.at_ns) / 1e9)
    return max(0.0, (last.disk_bytes.get(place, 0) - first.disk_bytes.get(place, 0)) / seconds)
