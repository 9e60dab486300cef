"""All that is known of one run, as records: the checker's only input.

A bundle says nothing of how the run was made. A chaos run, an explored schedule, a load test and
a history planted by a test all arrive in this shape, so they are all judged by the same rules.
The joined views (`history`, `ledger`, `effects`) are computed once, when first asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from results.figures import Figures, count
from results.history import History, OrderKey, begun_ns
from results.ledger import Ledger
from results.naming import Naming
from results.records import (
    Completion,
    ConnectionTrace,
    FaultRecord,
    GeneratorEnd,
    HoldTrace,
    Intent,
    Manifest,
    ProviderCall,
    ProviderReply,
    Resources,
    Snapshot,
    StatementTrace,
)
from results.stock import Sums, sums_by_snapshot
from results.transactions import Transaction, transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line that could not be read. `torn`: it was the last one and was cut in mid-write."""

    file: str
    line: int
    torn: bool
    problem: str

    @property
    def text(self) -> str:
        """The note as a sentence with file and line."""
        what = "cut short: its last line is torn" if self.torn else "unreadable line"
        return f"{self.file}:{self.line}: {what} ({self.problem})"


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What all orders of a run come to, for a bundle that holds some of them only."""

    figures: Figures
    sums: Sequence[Sums]  # by snapshot


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The records of one run; `history_files` counts files, each of which owes a GeneratorEnd.

    `whole`: this bundle holds some orders only, and these are the figures of all of them.
    """

    manifest: Manifest
    intents: tuple[Intent, ...] = ()
    completions: tuple[Completion, ...] = ()
    generator_ends: tuple[GeneratorEnd, ...] = ()
    history_files: int = 1
    calls: tuple[ProviderCall, ...] = ()
    replies: tuple[ProviderReply, ...] = ()
    has_witness_file: bool = True
    statements: tuple[StatementTrace, ...] = ()
    connections: tuple[ConnectionTrace, ...] = ()
    holds: tuple[HoldTrace, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    faults: tuple[FaultRecord, ...] = ()
    resources: tuple[Resources, ...] = ()
    notes: tuple[Note, ...] = ()
    whole: Whole | None = None

    @cached_property
    def history(self) -> History:
        """Intents and completions joined, by order."""
        return History.join(self.intents, self.completions, self.generator_ends)

    @cached_property
    def ledger(self) -> Ledger:
        """The state of every order at every snapshot."""
        return Ledger.fold(self.snapshots)

    @cached_property
    def naming(self) -> Naming:
        """Which orders the ids in the trace stand for."""
        return Naming.of(self.history)

    @cached_property
    def transactions(self) -> list[Transaction]:
        """The wire's flights as transactions, in the order in which they began."""
        return transactions(self.statements)

    @cached_property
    def shops(self) -> dict[int, tuple[str, ...]]:
        """Which shops have an order of that id: by authentic payments, else by anything sent."""
        shops: dict[int, dict[str, None]] = defaultdict(dict)
        for shop, order_id in self.history.by_order:
            shops[order_id][shop] = None
        paid = frozenset(shops)
        for delivery in self.history.deliveries:
            if delivery.intent.order_id not in paid:
                shops[delivery.intent.order_id][delivery.intent.shop] = None
        return {order_id: tuple(known) for order_id, known in shops.items()}

    def sharing(self, key: OrderKey) -> tuple[OrderKey, ...]:
        """The orders that a shipment under this key can be of: several, if it names no shop."""
        if key[0]:
            return (key,)
        return tuple((shop, key[1]) for shop in self.shops.get(key[1], ()))

    @cached_property
    def shipments(self) -> dict[OrderKey, dict[str, ProviderCall]]:
        """Per order the distinct shipments: effect id -> the first call that was recorded for it.

        A service of one shop need not name it to its provider. What then may be of either of two
        shops stands under the shop "".
        """
        found: dict[OrderKey, dict[str, ProviderCall]] = defaultdict(dict)
        for call in sorted(self.calls, key=lambda call: call.at_ns):
            if call.effect_id is not None:
                keys = self.sharing((call.shop, call.order_id))
                key = keys[0] if len(keys) == 1 else (call.shop, call.order_id)
                found[key].setdefault(call.effect_id, call)
        return dict(found)

    @cached_property
    def effects(self) -> dict[OrderKey, dict[str, int]]:
        """Per order the distinct shipments: effect id -> when it was first recorded, in ns."""
        return {
            key: {effect: call.at_ns for effect, call in calls.items()}
            for key, calls in self.shipments.items()
        }

    def shipped(self, key: OrderKey) -> dict[str, int]:
        """The shipments that can be this order's, those that name no shop among them."""
        return self.effects.get(key) or self.effects.get(("", key[1]), {})

    @cached_property
    def older(self) -> frozenset[OrderKey]:
        """Orders that the ledger held before anything was sent, with and without their shop."""
        first_ns = min(map(begun_ns, self.history.deliveries), default=0)
        return frozenset(
            key
            for snapshot in self.snapshots
            if snapshot.ended_ns < first_ns
            for state in snapshot.orders
            for key in ((state.shop, state.order_id), ("", state.order_id))
        )

    @cached_property
    def figures(self) -> Figures:
        """The figures of all deliveries and shipments of the run."""
        return self.whole.figures if self.whole else count(self.history, self.effects)

    def sums(self) -> Iterable[Sums]:
        """What the ledger's orders come to, snapshot by snapshot; each is valid until the next."""
        return self.whole.sums if self.whole else sums_by_snapshot(self.history, self.ledger)

    @cached_property
    def completed(self) -> bool:
        """True when every sender and the runner came to their end, and a final look was taken."""
        return (
            self.manifest.status == "finished"
            and len(self.generator_ends) >= self.history_files
            and (not self.manifest.ledger_queries or self.ledger.has_final)
        )

    def declares(self, query: str) -> bool:
        """Whether the service declares this ledger query (orders, fulfillments, ...)."""
        return query in self.manifest.ledger_queries

    def damaged(self, file_prefix: str) -> bool:
        """Whether a file whose name starts so has lost a line: then absence proves nothing."""
        return any(note.file.startswith(file_prefix) for note in self.notes)

    @property
    def trace_full(self) -> bool:
        """Whether the wire's file reached its limit, so that what came later is not in it."""
        return any(trace.event == "trace-full" for trace in self.connections)
