"""A run built by hand, record by record: `World` collects them, times are ms since its start."""

from pathlib import Path

from results.bundle import Bundle
from results.records import (
    FORMAT_VERSION,
    Completion,
    ConnectionTrace,
    Count,
    Evidence,
    FaultRecord,
    Fulfillment,
    GeneratorEnd,
    HoldTrace,
    Intent,
    Line,
    Manifest,
    OrderState,
    Outcome,
    ProviderCall,
    ProviderReply,
    Snapshot,
    Stage,
    StatementTrace,
    StockLevel,
    Thresholds,
)
from results.run_folder import RunFolder, append_line

SHOP, OTHER_SHOP = "onceproof-demo.myshopify.com", "a-second.myshopify.com"
FIRST = 910_000_000_000_000_000
START_NS = 1_000_000_000_000
INITIAL = 1_000_000
SKUS = ("ONCE-001", "ONCE-002")
QUERIES = ("orders", "fulfillments", "movements", "webhook_log", "stock")
COUNTED = (*QUERIES, "count credits", "count jobs")
ONE_LINE = (Line(sku=SKUS[0], quantity=2),)
OTHER_LINE = (Line(sku=SKUS[1], quantity=1),)
Step = tuple[str, tuple[str, ...], float, float, str, str, str]
"""SQL, keys, from and to in ms, state before and after, command tag."""


def ns(at_ms: float) -> int:
    """Milliseconds since the run's start, on the monotonic clock."""
    return START_NS + round(at_ms * 1e6)


def manifest_of(**changes: object) -> Manifest:
    """A finished run that needs one overlapping group."""
    values: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "run_id": "planted",
        "scenario": "duplicate_storm",
        "title": "Every webhook arrives twice at once",
        "strategy": "insert_first",
        "provider": "honours",
        "seed": 7,
        "started_utc": "2026-01-02T03:04:05+00:00",
        "wall_ns": 1_767_323_045_000_000_000,
        "monotonic_ns": START_NS,
        "status": "finished",
        "runner_pid": 1,
        "thresholds": Thresholds(overlapping_groups=1),
        "asked_faults": {},
        "ledger_queries": QUERIES,
    }
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


class World:
    """Collects records; times are milliseconds since the run's start."""

    def __init__(self, **manifest: object) -> None:
        self.manifest = manifest_of(**manifest)
        self.intents: list[Intent] = []
        self.completions: list[Completion] = []
        self.calls: list[ProviderCall] = []
        self.replies: list[ProviderReply] = []
        self.statements: list[StatementTrace] = []
        self.connections: list[ConnectionTrace] = []
        self.holds: list[HoldTrace] = []
        self.snapshots: list[Snapshot] = []
        self.faults: list[FaultRecord] = []
        self.ends: list[GeneratorEnd] = []
        self.states: dict[tuple[str, int], OrderState] = {}
        self.leaked: dict[str, int] = {}
        self._looked: dict[tuple[str, int], OrderState] = {}

    def deliver(
        self, order: int, *, at_ms: float, copy: int = 0, attempt: int = 1, took_ms: float = 8,
        outcome: Outcome | None = Outcome.OK, status: int | None = None, replica: str = "web-1",
        topic: str = "orders/paid", authentic: bool = True, lines: tuple[Line, ...] = ONE_LINE,
        late_ms: float = 0.5, shop: str = SHOP, webhook: str = "",
    ) -> str:  # fmt: skip
        """One attempt; outcome None: no completion. A `fail` without a status was not sent."""
        home = "" if shop == SHOP else f"{shop[0]}-"
        webhook = webhook or f"{home}{topic[7:]}-{order}-{copy}"
        attempt_id = f"{webhook}.{copy}.{attempt}" + ("" if authentic else ".forged")
        self.intents.append(Intent(
            attempt_id=attempt_id, group_id=f"group-{topic[7:]}-{order}", shop=shop,
            order_id=order, topic=topic, webhook_id=webhook, event_id=f"event-{order}",
            copy=copy, attempt=attempt, authentic=authentic, target=replica, lines=lines,
            intended_ns=ns(at_ms),
        ))  # fmt: skip
        if outcome is not None:
            unsent = outcome is Outcome.FAIL and status is None
            self.completions.append(Completion(
                attempt_id=attempt_id, done_ns=ns(at_ms + took_ms), outcome=outcome,
                sent_ns=None if unsent else ns(at_ms + late_ms),
                status=200 if outcome is Outcome.OK and status is None else status,
                error="connection refused" if unsent else None,
            ))  # fmt: skip
        return attempt_id

    def repeat(
        self, order: int, *, at_ms: float, attempts: range = range(1, 10), every_ms: float = 20,
        outcome: Outcome = Outcome.INFO, **more: object,
    ) -> None:  # fmt: skip
        """One copy of one webhook, tried again and again."""
        for number in attempts:
            self.deliver(
                order, at_ms=at_ms + every_ms * (number - attempts[0]), attempt=number,
                outcome=outcome, **more,  # type: ignore[arg-type]
            )  # fmt: skip

    def lines_of(self, order: int, shop: str = SHOP) -> tuple[Line, ...]:
        """What the last delivery of an order said that is in it."""
        return next(
            (one.lines for one in reversed(self.intents)
             if (one.shop, one.order_id) == (shop, order)), ONE_LINE,
        )  # fmt: skip

    def ship(
        self, order: int, *, at_ms: float, effect: bool = True, key: str = "", shop: str = SHOP,
        lines: tuple[Line, ...] | None = None,
    ) -> None:  # fmt: skip
        """One call of the provider; effect False: it recognised the key."""
        number = len(self.calls) + 1
        self.calls.append(ProviderCall(
            call_id=f"call-{number}", at_ns=ns(at_ms), shop=shop, order_id=order,
            key=key or f"{shop}:{order}:fulfil:v1",
            lines=self.lines_of(order, shop) if lines is None else lines,
            effect_id=f"shipment-{number}" if effect else None,
        ))  # fmt: skip
        self.replies.append(
            ProviderReply(call_id=f"call-{number}", at_ns=ns(at_ms + 1), status=201)
        )

    def hold_state(
        self, order: int, *, status: str | None = "paid", rows: int = 1, logs: int = 1,
        movements: tuple[Line, ...] = ONE_LINE, shop: str = SHOP, ids: tuple[str, ...] = (),
        counts: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        """What the service's database holds of an order from now on; `ids` are more log entries."""
        home = "" if shop == SHOP else f"{shop[0]}-"
        self.states[shop, order] = OrderState(
            shop=shop, order_id=order, status=status, movements=movements,
            fulfillments=tuple(
                Fulfillment(id=f"{order}-{number}", key=f"{shop}:{order}:fulfil:v1", sent=True)
                for number in range(rows)
            ),
            webhook_ids=(*(f"{home}paid-{order}-{number}" for number in range(logs)), *ids),
            counts=tuple(Count(name, times) for name, times in (counts or {}).items()),
        )  # fmt: skip

    def queue(self, order: int, *, at_ms: float) -> None:
        """The order waits in the service's inbox; nothing else is done for it yet."""
        self.states[SHOP, order] = OrderState(shop=SHOP, order_id=order, status=None, in_inbox=True)
        self.transact(order, replica="web-1", begin_ms=at_ms, end_ms=at_ms + 2, connection=8)

    def look(self, *, at_ms: float, reason: str = "sample") -> None:
        """A snapshot: the states that changed, and the stock that follows from the movements."""
        changed = [state for order, state in self.states.items()
                   if self._looked.get(order) != state]  # fmt: skip
        self._looked = dict(self.states)
        gone = dict.fromkeys(SKUS, 0)
        for state in self.states.values():
            for line in state.movements:
                gone[line.sku] += line.quantity
        self.snapshots.append(Snapshot(
            begun_ns=ns(at_ms), ended_ns=ns(at_ms + 1), reason=reason, orders=tuple(changed),
            stock=tuple(
                StockLevel(sku=sku, initial=INITIAL,
                           remaining=INITIAL - gone[sku] - self.leaked.get(sku, 0))
                for sku in SKUS
            ),
        ))  # fmt: skip

    def flights(self, steps: list[Step], *, replica: str, connection: int = 1) -> None:
        """Flights of one connection, one statement each."""
        for sql, keys, from_ms, to_ms, before, after, tag in steps:
            self.statements.append(StatementTrace(
                replica=replica, connection=connection, backend_pid=100 + connection,
                flight=len(self.statements), sql=(sql,), parameters=((),), keys=keys,
                received_ns=ns(from_ms), forwarded_ns=ns(from_ms), replied_ns=ns(to_ms),
                returned_ns=ns(to_ms), state_before=before, state_after=after, tags=(tag,),
                sqlstate=None,
            ))  # fmt: skip

    def transact(
        self, order: int, *, replica: str, begin_ms: float, end_ms: float, connection: int = 1,
        keys: tuple[str, ...] = (), tag: str = "INSERT 0 1", end: str = "COMMIT",
    ) -> None:  # fmt: skip
        """BEGIN, one INSERT that names the order, COMMIT, on one connection."""
        middle_ms = (begin_ms + end_ms) / 2
        insert = "INSERT INTO fulfillment_requests VALUES ($1)"
        self.flights(
            [
                ("BEGIN", (), begin_ms, begin_ms + 0.1, "I", "T", "BEGIN"),
                (insert, keys or (str(order),), middle_ms, middle_ms + 0.1, "T", "T", tag),
                (end, (), end_ms - 0.2, end_ms, "T", "I", end),
            ],
            replica=replica, connection=connection,
        )  # fmt: skip

    def connection_ends(
        self, *, at_ms: float, replica: str, connection: int = 1, event: str = "client-eof"
    ) -> None:
        """What the wire writes when one side of a connection ends."""
        self.connections.append(ConnectionTrace(
            replica=replica, connection=connection, backend_pid=100 + connection, event=event,
            at_ns=ns(at_ms), state="T", in_flight=True,
        ))  # fmt: skip

    def hold(self, *, parked_ms: float, released_ms: float) -> None:
        """A flight of web-1 was parked."""
        self.holds.append(HoldTrace(
            hold_id=f"hold-{len(self.holds)}", rule_id="r", replica="web-1", connection=1,
            backend_pid=1, point="reply", parked_ns=ns(parked_ms), released_ns=ns(released_ms),
            release="pass", perturbed=False,
        ))  # fmt: skip

    def crash(
        self, fault_id: str, point: str, *, at_ms: float, until: Stage = Stage.HEAL,
        missing: tuple[str, ...] = (), kind: str = "crash", replica: str = "web-1",
        healed_ms: float | None = None, **facts: object,
    ) -> None:  # fmt: skip
        """The journal of one fault up to a stage."""
        for stage in (Stage.ASKED, Stage.PARKED, Stage.INTENT, Stage.INJECT, Stage.EVIDENCE,
                      Stage.HEAL):  # fmt: skip
            proof = Evidence(facts=facts, missing=missing) if stage is Stage.EVIDENCE else None
            ended_ms = healed_ms if stage is Stage.HEAL and healed_ms is not None else at_ms
            self.faults.append(FaultRecord(
                fault_id=fault_id, kind=kind, point=point, stage=stage, at_ns=ns(ended_ms),
                replica=replica, evidence=proof,
                detail={"others_in_flight": 2} if stage is Stage.PARKED else {},
            ))  # fmt: skip
            if stage is until:
                return

    def settled_order(
        self, order: int, *, at_ms: float, lines: tuple[Line, ...] = ONE_LINE, shop: str = SHOP
    ) -> None:
        """A burst of two copies that overlap on two replicas, and one shipment."""
        for copy, replica in enumerate(("web-1", "web-2")):
            self.deliver(order, at_ms=at_ms, copy=copy, replica=replica, lines=lines, shop=shop)
            keys = (str(order), self.intents[-1].webhook_id)
            self.transact(
                order, replica=replica, begin_ms=at_ms + 1 + copy, end_ms=at_ms + 6 + copy,
                keys=keys,
            )  # fmt: skip
        self.hold_state(order, movements=lines, shop=shop)
        self.ship(order, at_ms=at_ms + 20, shop=shop)

    def end(self, *, at_ms: float = 10_000, shed: int = 0, planned: int | None = None) -> None:
        """The sender's last line and the runner's last look."""
        orders = len({(intent.shop, intent.order_id) for intent in self.intents})
        self.ends.append(GeneratorEnd(
            worker=0, planned_orders=orders if planned is None else planned, sent_orders=orders,
            shed_orders=shed, at_ns=ns(at_ms),
        ))  # fmt: skip
        self.look(at_ms=at_ms, reason="final")

    def bundle(self) -> Bundle:
        """All of it."""
        return Bundle(
            manifest=self.manifest, intents=tuple(self.intents),
            completions=tuple(self.completions), generator_ends=tuple(self.ends),
            calls=tuple(self.calls), replies=tuple(self.replies),
            statements=tuple(self.statements), connections=tuple(self.connections),
            holds=tuple(self.holds), snapshots=tuple(self.snapshots), faults=tuple(self.faults),
        )  # fmt: skip


def write(bundle: Bundle, runs_root: Path) -> RunFolder:
    """A run's folder that holds this bundle."""
    folder = RunFolder.create(runs_root, bundle.manifest)
    folder.witness.touch()
    for path, records in (
        (folder.history(0), (*bundle.intents, *bundle.completions, *bundle.generator_ends)),
        (folder.witness, (*bundle.calls, *bundle.replies)),
        (folder.wire, (*bundle.statements, *bundle.connections, *bundle.holds)),
        (folder.ledger, bundle.snapshots),
        (folder.journal, bundle.faults),
    ):
        for record in records:
            append_line(path, record)
    return folder
