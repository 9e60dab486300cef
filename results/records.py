"""The records that flow between the folders: each is one line of one file in the run's folder.

No logic lives here, only shapes. A record is frozen; every time is an integer of nanoseconds on
the machine's monotonic clock (`time.monotonic_ns`, which all processes of one machine share); the
manifest ties that clock to UTC once. Readers tolerate unknown fields, so a newer writer can add
some; whatever changes the meaning of a field raises `FORMAT_VERSION`, and a newer one is refused. A
record of an unknown kind is a line that cannot be read: it is noted, and the run is unknown.

| file | records | written by |
|---|---|---|
| history-*.jsonl | Intent, Completion, GeneratorEnd | the process that sends |
| witness.jsonl | ProviderCall, ProviderReply | the witness, before it replies |
| wire.jsonl | StatementTrace, ConnectionTrace, HoldTrace | the wire |
| ledger.jsonl | Snapshot | the runner, REPEATABLE READ |
| journal.jsonl | FaultRecord, and those of `footprint` | the runner, fsynced per record |
| manifest.json | Manifest | the runner |
"""

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

FORMAT_VERSION = 1


class Record(Struct, frozen=True, kw_only=True, tag_field="record"):
    """The base of all records: frozen, named fields, a `record` tag in the file."""


# ---------------------------------------------------------------- history: what the sender saw


class Outcome(StrEnum):
    """What the sender may conclude (Jepsen's words; docs/exactly-once.md has the mapping)."""

    OK = "ok"  # a complete 2xx within the sender's timeout
    FAIL = "fail"  # provably no effect: connection refused, nothing sent, 400, 401, 404, 413
    INFO = "info"  # everything else, every 5xx included: the effect may or may not exist


class Line(Struct, frozen=True, kw_only=True):
    """One line of an order, a shipment or a stock movement."""

    sku: str
    quantity: int


class Intent(Record, frozen=True, kw_only=True, tag="intent"):
    """One attempt, written before its first byte leaves. Ground truth: the sender made it up."""

    attempt_id: str  # unique; sent as X-Onceproof-Attempt
    group_id: str  # deliveries released together share it ("" for one that stands alone)
    shop: str
    order_id: int
    topic: str  # "orders/paid", "orders/create", "orders/cancelled"
    webhook_id: str
    event_id: str
    copy: int  # 0 for the first of a burst, 1 for its duplicate, ...
    attempt: int  # 1 for the first delivery of a webhook id, 2 for its first retry, ...
    authentic: bool  # False: forged or tampered; the service must refuse it
    target: str  # the replica's name it was sent to
    lines: tuple[Line, ...]
    intended_ns: int
    kind: str = ""  # which class of the traffic it is: "paid", "again", "repaid", "forged", ...
    waited_ns: int = 0  # after its time, for the answer to earlier news of the order


class Completion(Record, frozen=True, kw_only=True, tag="completion"):
    """What came back for an attempt. An Intent without one reads as `info`."""

    attempt_id: str
    sent_ns: int | None  # None: not one byte left
    done_ns: int
    outcome: Outcome
    status: int | None = None
    error: str | None = None


class GeneratorEnd(Record, frozen=True, kw_only=True, tag="generator-end"):
    """The last line of a history file; a file without it was cut short."""

    worker: int
    planned_orders: int  # what this worker was asked to send
    sent_orders: int
    shed_orders: int  # given up because the generator could not keep its schedule
    at_ns: int


class Delivery(Struct, frozen=True, kw_only=True):
    """An Intent and its Completion, joined by the reader of the history."""

    intent: Intent
    completion: Completion | None

    @property
    def outcome(self) -> Outcome:
        """`info` where nothing came back."""
        return self.completion.outcome if self.completion else Outcome.INFO


# ---------------------------------------------------------------- witness: what really shipped


class ProviderCall(Record, frozen=True, kw_only=True, tag="call"):
    """One call of the fulfillment provider, stored before it is answered.

    `effect_id` names the shipment that this call made; None when the provider recognised the key
    and shipped nothing more. Exactly-once is a statement about distinct effect ids of an order.
    """

    call_id: str
    at_ns: int
    shop: str
    order_id: int
    key: str | None
    lines: tuple[Line, ...]
    effect_id: str | None


class ProviderReply(Record, frozen=True, kw_only=True, tag="reply"):
    """How a call was answered; `status` None means that the answer was lost on purpose."""

    call_id: str
    at_ns: int
    status: int | None


# ---------------------------------------------------------------- wire: what the database was told


class StatementTrace(Record, frozen=True, kw_only=True, tag="statement"):
    """One flight: client messages up to Sync, Query or Flush, and what the server answered.

    `keys` are the bind values or literals that look like ids of the traffic (order ids, webhook
    ids); every other value is redacted before it is stored. Transaction states are Postgres' own:
    I idle, T in a transaction, E in a failed one.
    """

    replica: str
    connection: int
    backend_pid: int
    flight: int  # counts up within a connection
    sql: tuple[str, ...]  # one per Query or Execute, literals redacted; () for Parse/Describe only
    parameters: tuple[tuple[str, ...], ...]  # beside each sql, redacted
    keys: tuple[str, ...]
    received_ns: int
    forwarded_ns: int | None  # None: never sent to the server
    replied_ns: int | None  # the server's last byte of the answer
    returned_ns: int | None  # given to the client; None: withheld
    state_before: str
    state_after: str | None
    tags: tuple[str, ...]  # command tags: "UPDATE 1", "COMMIT", ...
    sqlstate: str | None  # of the first error
    hold_id: str | None = None


class ConnectionTrace(Record, frozen=True, kw_only=True, tag="connection"):
    """A connection opened, or one of its sides ended; with the state it was in at that moment."""

    replica: str
    connection: int
    backend_pid: int
    event: str  # "open", "client-eof", "server-eof", "cut"
    at_ns: int
    state: str  # I, T or E
    in_flight: bool
    application_name: str = ""
    wrote: bool = False  # its open transaction has written rows, and its end was not asked for


class HoldTrace(Record, frozen=True, kw_only=True, tag="hold"):
    """A flight that was parked, and how the hold ended."""

    hold_id: str
    rule_id: str
    replica: str
    connection: int
    backend_pid: int
    point: str  # "before", "before-commit", "reply"
    parked_ns: int
    released_ns: int
    release: str  # "pass", "drop", "hold-reply", "lease", "controller-lost", "client-eof"
    perturbed: bool  # the hold ended by itself: timing was changed, nothing was proved


# ---------------------------------------------------------------- ledger: what the service holds


class Fulfillment(Struct, frozen=True, kw_only=True):
    """A row that asks for a shipment."""

    id: str
    key: str | None
    sent: bool


class StockLevel(Struct, frozen=True, kw_only=True):
    """Conservation needs both ends: what there was and what is left."""

    sku: str
    initial: int
    remaining: int


class Count(Struct, frozen=True):
    """How often an order took effect by one of the service's own books."""

    name: str
    times: int


class OrderState(Struct, frozen=True, kw_only=True):
    """All that the service's database holds of one order in one snapshot."""

    shop: str
    order_id: int
    status: str | None  # "paid", "pending", "cancelled"; None: no row
    fulfillments: tuple[Fulfillment, ...] = ()
    movements: tuple[Line, ...] = ()  # one per stock movement row
    webhook_ids: tuple[str, ...] = ()
    in_inbox: bool = False  # stored durably, and still to be worked off
    counts: tuple[Count, ...] = ()


class Snapshot(Record, frozen=True, kw_only=True, tag="snapshot"):
    """One REPEATABLE READ look at the ledger; only orders that changed since the one before.

    The database's snapshot was taken between `begun_ns` and `ended_ns`. `stock` is complete.
    """

    begun_ns: int
    ended_ns: int
    reason: str  # "sample", "hold", "final"
    orders: tuple[OrderState, ...]
    stock: tuple[StockLevel, ...]
    open_transactions: int = 0
    waiting_locks: int = 0


# ---------------------------------------------------------------- journal: what was done to it
# What a run leaves on machines, if it is cut short, stands in `footprint`.


class Stage(StrEnum):
    """The life of a fault; each stage is one fsynced record."""

    ASKED = "asked"
    PARKED = "parked"
    INTENT = "intent"
    INJECT = "inject"
    EVIDENCE = "evidence"
    HEAL = "heal"
    MISSED = "missed"  # it never found its moment; `detail["reason"]` says why


class Evidence(Struct, frozen=True, kw_only=True):
    """What proves that a fault happened as named. `missing` lists what could not be shown."""

    facts: dict[str, Any]
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True when nothing is missing: only then does the fault count."""
        return not self.missing


class FaultRecord(Record, frozen=True, kw_only=True, tag="fault"):
    """One stage of one fault."""

    fault_id: str
    kind: str  # "crash", "freeze", "graceful", "db-disconnect"
    point: str  # "commit-dropped", "commit-after-death", "reply-lost", "in-transaction", "blind"
    stage: Stage
    at_ns: int
    replica: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None


# ---------------------------------------------------------------- resources: the machine's side


class Resources(Record, frozen=True, kw_only=True, tag="resources"):
    """What a run used at one moment; nothing is judged by it."""

    at_ns: int
    memory_bytes: dict[str, int]  # by role, without what processes share
    open_files: dict[str, int]  # by role; sockets too
    connections: int  # of clients to the run's database
    disk_bytes: dict[str, int]  # "run folder", "database", "write-ahead log"


# ---------------------------------------------------------------- manifest: the run itself


class Thresholds(Struct, frozen=True, kw_only=True):
    """What a run must have seen before it may be called valid (DESIGN: a run that proved nothing
    is unknown). A scenario may change each; 0 or None switches one off."""

    overlapping_groups: int = 100
    every_fault_evidenced: bool = True
    lost_acknowledgements: int = 0  # COMMITs whose answer nobody heard; 1 in crash scenarios
    lateness_p99_ms: float | None = 250.0
    shed_orders: int = 0
    unresolved_orders: int = 0


class Manifest(Struct, frozen=True, kw_only=True):
    """What ran, where, with what; and whether it came to its end."""

    format_version: int
    run_id: str
    scenario: str
    title: str
    strategy: str
    provider: str  # "honours" or "ignores" idempotency keys; "none" without a witness
    seed: int
    started_utc: str
    wall_ns: int  # time.time_ns() and time.monotonic_ns() at the same instant
    monotonic_ns: int
    status: str  # "running", "finished", "interrupted", "failed"
    runner_pid: int
    thresholds: Thresholds
    asked_faults: dict[str, int]  # "crash:commit-dropped" -> 10
    attempts: int = 9  # the most that the sender makes of one webhook: the first and 8 retries
    has_wire: bool = True
    has_witness: bool = True
    slos: tuple[str, ...] = ()  # as asked for: "p99<250ms"
    ledger_queries: tuple[str, ...] = ()  # which of orders, fulfillments, ... the service declares
    settled: bool = True  # False: something still moved when the run's patience ended
    controller_lost: str | None = None  # why the run's control of the wire broke, if it did
    history_kept: bool = True  # False: only its small files are left (`RunFolder.slim`)
    environment: dict[str, Any] = field(default_factory=dict)  # versions, Postgres, machine
