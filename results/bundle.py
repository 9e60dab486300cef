"""All that is known of one run, as records: the checker's only input.

A bundle says nothing of how the run was made. A chaos run, an explored schedule, a load test and
a history planted by a test all arrive in this shape, so they are all judged by the same rules.
The joined views (`history`, `ledger`, `effects`) are computed once, when first asked for.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from results.history import History, OrderKey
from results.ledger import Ledger
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
    Snapshot,
    StatementTrace,
)


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
class Bundle:
    """The records of one run; `history_files` counts files, each of which owes a GeneratorEnd."""

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
    notes: tuple[Note, ...] = ()

    @cached_property
    def history(self) -> History:
        """Intents and completions joined, by order."""
        return History.join(self.intents, self.completions, self.generator_ends)

    @cached_property
    def ledger(self) -> Ledger:
        """The state of every order at every snapshot."""
        return Ledger.fold(self.snapshots)

    @cached_property
    def effects(self) -> dict[OrderKey, dict[str, int]]:
        """Per order the distinct shipments: effect id -> when it was first recorded, in ns."""
        found: dict[OrderKey, dict[str, int]] = defaultdict(dict)
        shops: dict[int, set[str]] = defaultdict(set)
        for shop, order_id in self.history.by_order:
            shops[order_id].add(shop)
        for call in sorted(self.calls, key=lambda call: call.at_ns):
            if call.effect_id is not None:
                # A service of one shop need not name it to its provider.
                known = shops[call.order_id]
                shop = next(iter(known)) if not call.shop and len(known) == 1 else call.shop
                found[(shop, call.order_id)].setdefault(call.effect_id, call.at_ns)
        return dict(found)

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
