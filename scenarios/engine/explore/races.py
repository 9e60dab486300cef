"""Which moves of a play could have come the other way round, and what would have to come first.

A move *happens after* an earlier one if it depends on it, or on one that does. It *races* with the
latest ones that it depends on, unless those let it come about at all: ended its delivery's wait, or
were the beginning of a delivery that must begin first. For a race to be seen the other way round,
all that does not happen after its first move comes before it; any delivery that can begin with that
(an *initial*) will do. This is the race reversal of source sets (Abdulla, Aronis, Jonsson,
Sagonas, Optimal dynamic partial order reduction, 2014), where nobody takes away another's choice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scenarios.engine.explore.effect import Effect, independent


@dataclass(slots=True)
class Event:
    """A move that was made, and which of those before it it happens after, a bit for each."""

    actor: int
    effect: Effect
    after: int = 0


def races(
    events: Sequence[Event], latest: Event, offered: Sequence[set[int]]
) -> Iterator[tuple[int, set[int]]]:
    """The places of the moves that the latest one races with, with the initials for each.

    `offered`: who could have moved at each of them. Fills in what `latest` happens after.
    """
    fresh = latest.actor not in {one.actor for one in events}
    found = []
    for index in reversed(range(len(events))):
        one = events[index]
        first = fresh and latest.actor not in offered[index] and _begins(events, index)
        if not first and independent(one.effect, latest.effect):
            continue
        if not latest.after >> index & 1:
            if not first and latest.actor not in one.effect.actors:
                found.append(index)
            latest.after |= 1 << index | one.after
    for index in found:
        others = [place for place in range(index + 1, len(events))
                  if not events[place].after >> index & 1]  # fmt: skip
        yield index, _initials([*events, latest], [*others, len(events)])


def _begins(events: Sequence[Event], index: int) -> bool:
    """Whether a move is its delivery's first."""
    return events[index].actor not in {one.actor for one in events[:index]}


def _initials(events: Sequence[Event], places: Sequence[int]) -> set[int]:
    """Who could make the first of these moves."""
    mask = sum(1 << place for place in places)
    return {events[place].actor for place in places if not events[place].after & mask}
