"""What the service's database held, order by order, at every snapshot.

A snapshot file holds only what changed; `Ledger.fold` puts it together again as *stretches*: an
order was in one state from one snapshot up to the next that changed it. Whatever is true of a
state is then judged once a stretch, not once a snapshot, so a long run stays cheap to check.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from results.history import OrderKey
from results.records import OrderState, Snapshot

COUNT_PREFIX = "count "  # of a count's name among the queries of a ledger


@dataclass(frozen=True, slots=True)
class Stretch:
    """One state of an order, seen in snapshots `first` up to, but without, `end`."""

    state: OrderState
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Snapshots in the order of time, and each order's changes as (snapshot's index, state)."""

    snapshots: tuple[Snapshot, ...]
    changes: dict[OrderKey, tuple[tuple[int, OrderState], ...]]

    @classmethod
    def fold(cls, snapshots: Iterable[Snapshot]) -> "Ledger":
        """Sort the snapshots by their beginning and collect each order's changes."""
        ordered = tuple(sorted(snapshots, key=lambda snapshot: snapshot.begun_ns))
        changes: dict[OrderKey, list[tuple[int, OrderState]]] = defaultdict(list)
        for index, snapshot in enumerate(ordered):
            for state in snapshot.orders:
                changes[(state.shop, state.order_id)].append((index, state))
        return cls(snapshots=ordered, changes={key: tuple(found) for key, found in changes.items()})

    @property
    def has_final(self) -> bool:
        """Whether the runner's last look, after everything settled, is there."""
        return any(snapshot.reason == "final" for snapshot in self.snapshots)

    def stretches(self, key: OrderKey) -> Iterator[Stretch]:
        """The states of an order through the run; before its first row it is the empty state."""
        state, first = OrderState(shop=key[0], order_id=key[1], status=None), 0
        for index, changed in self.changes.get(key, ()):
            if index > first:
                yield Stretch(state, first, index)
            state, first = changed, index
        if first < len(self.snapshots):
            yield Stretch(state, first, len(self.snapshots))

    def state_at(self, key: OrderKey, index: int) -> OrderState:
        """The order's state in one snapshot."""
        state = OrderState(shop=key[0], order_id=key[1], status=None)
        for changed_at, changed in self.changes.get(key, ()):
            if changed_at > index:
                break
            state = changed
        return state

    def final(self, key: OrderKey) -> OrderState:
        """The order's state in the last snapshot."""
        return self.state_at(key, len(self.snapshots))

    def first_begun_at_or_after(self, at_ns: int) -> int:
        """The index of the first snapshot that began then or later; len(snapshots): none did."""
        return bisect_left(self.snapshots, at_ns, key=lambda snapshot: snapshot.begun_ns)
