"""Bundles made by hand: clean ones, and one with a planted anomaly for each code.

`clean(seed)` is a valid run of a few orders; `planted(name)` is a clean run with one more order,
`VICTIM`, that has the anomaly; `DECLARED` says which codes must then be found, and no others.
`World` builds any other history; `World.write` makes a run's folder of it.
"""

import random
from collections.abc import Callable
from pathlib import Path

from results.bundle import Bundle
from results.records import (
    FORMAT_VERSION,
    Completion,
    ConnectionTrace,
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

SHOP = "onceproof-demo.myshopify.com"
FIRST = 910_000_000_000_000_000
VICTIM = FIRST + 99
START_NS = 1_000_000_000_000
INITIAL = 1_000_000
SKUS = ("ONCE-001", "ONCE-002")
QUERIES = ("orders", "fulfillments", "movements", "webhook_log", "stock")
ONE_LINE = (Line(sku=SKUS[0], quantity=2),)


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
        self.states: dict[int, OrderState] = {}
        self.leaked: dict[str, int] = {}
        self._looked: dict[int, OrderState] = {}

    def deliver(
        self, order: int, *, at_ms: float, copy: int = 0, attempt: int = 1, took_ms: float = 8,
        outcome: Outcome | None = Outcome.OK, status: int | None = 200, replica: str = "web-1",
        topic: str = "orders/paid", authentic: bool = True, lines: tuple[Line, ...] = ONE_LINE,
        late_ms: float = 0.5,
    ) -> str:  # fmt: skip
        """One attempt; outcome None: no completion was written."""
        webhook = f"{topic[7:]}-{order}-{copy}"
        attempt_id = f"{webhook}.{copy}.{attempt}"
        self.intents.append(Intent(
            attempt_id=attempt_id, group_id=f"group-{topic[7:]}-{order}", shop=SHOP,
            order_id=order, topic=topic, webhook_id=webhook, event_id=f"event-{order}",
            copy=copy, attempt=attempt, authentic=authentic, target=replica, lines=lines,
            intended_ns=ns(at_ms),
        ))  # fmt: skip
        if outcome is not None:
            self.completions.append(Completion(
                attempt_id=attempt_id, done_ns=ns(at_ms + took_ms), outcome=outcome,
                sent_ns=None if outcome is Outcome.FAIL else ns(at_ms + late_ms),
                status=None if outcome is Outcome.FAIL else status,
                error="connection refused" if outcome is Outcome.FAIL else None,
            ))  # fmt: skip
        return attempt_id

    def ship(self, order: int, *, at_ms: float, effect: bool = True, key: str = "") -> None:
        """One call of the provider; effect False: it recognised the key."""
        number = len(self.calls) + 1
        self.calls.append(ProviderCall(
            call_id=f"call-{number}", at_ns=ns(at_ms), shop=SHOP, order_id=order,
            key=key or f"{SHOP}:{order}:fulfil:v1", lines=ONE_LINE,
            effect_id=f"shipment-{number}" if effect else None,
        ))  # fmt: skip
        self.replies.append(
            ProviderReply(call_id=f"call-{number}", at_ns=ns(at_ms + 1), status=201)
        )

    def hold_state(
        self, order: int, *, status: str | None = "paid", rows: int = 1, logs: int = 1,
        movements: tuple[Line, ...] = ONE_LINE,
    ) -> None:  # fmt: skip
        """What the service's database holds of an order from now on."""
        self.states[order] = OrderState(
            shop=SHOP, order_id=order, status=status, movements=movements,
            fulfillments=tuple(
                Fulfillment(id=f"{order}-{number}", key=f"{SHOP}:{order}:fulfil:v1", sent=True)
                for number in range(rows)
            ),
            webhook_ids=tuple(f"paid-{order}-{number}" for number in range(logs)),
        )  # fmt: skip

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

    def transact(
        self, order: int, *, replica: str, begin_ms: float, end_ms: float, connection: int = 1,
        heard: bool = True,
    ) -> None:  # fmt: skip
        """BEGIN, one INSERT that names the order, COMMIT, on one connection."""
        middle_ms = (begin_ms + end_ms) / 2
        flight = 10 * len(self.statements)
        steps = (
            ("BEGIN", (), begin_ms, begin_ms + 0.1, "I", "T", "BEGIN"),
            ("INSERT INTO fulfillment_requests VALUES ($1)", (str(order),), middle_ms,
             middle_ms + 0.1, "T", "T", "INSERT 0 1"),
            ("COMMIT", (), end_ms - 0.2, end_ms, "T", "I", "COMMIT"),
        )  # fmt: skip
        for number, (sql, keys, from_ms, to_ms, before, after, tag) in enumerate(steps):
            self.statements.append(StatementTrace(
                replica=replica, connection=connection, backend_pid=100 + connection,
                flight=flight + number, sql=(sql,), parameters=((),), keys=keys,
                received_ns=ns(from_ms), forwarded_ns=ns(from_ms), replied_ns=ns(to_ms),
                returned_ns=ns(to_ms) if heard or tag != "COMMIT" else None,
                state_before=before, state_after=after, tags=(tag,), sqlstate=None,
            ))  # fmt: skip

    def crash(
        self, fault_id: str, point: str, *, at_ms: float, until: Stage = Stage.HEAL,
        missing: tuple[str, ...] = (), kind: str = "crash", **facts: object,
    ) -> None:  # fmt: skip
        """The journal of one fault up to a stage."""
        for stage in (Stage.ASKED, Stage.PARKED, Stage.INTENT, Stage.INJECT, Stage.EVIDENCE,
                      Stage.HEAL):  # fmt: skip
            proof = Evidence(facts=facts, missing=missing) if stage is Stage.EVIDENCE else None
            self.faults.append(FaultRecord(
                fault_id=fault_id, kind=kind, point=point, stage=stage, at_ns=ns(at_ms),
                replica="web-1", evidence=proof,
                detail={"others_in_flight": 2} if stage is Stage.PARKED else {},
            ))  # fmt: skip
            if stage is until:
                return

    def settled_order(
        self, order: int, *, at_ms: float, lines: tuple[Line, ...] = ONE_LINE
    ) -> None:
        """A burst of two copies that overlap on two replicas, and one shipment."""
        self.deliver(order, at_ms=at_ms, copy=0, replica="web-1", lines=lines)
        self.deliver(order, at_ms=at_ms, copy=1, replica="web-2", lines=lines)
        self.transact(order, replica="web-1", begin_ms=at_ms + 1, end_ms=at_ms + 6)
        self.transact(order, replica="web-2", begin_ms=at_ms + 2, end_ms=at_ms + 7)
        self.hold_state(order, movements=lines)
        self.ship(order, at_ms=at_ms + 20)

    def end(self, *, at_ms: float = 10_000, shed: int = 0, planned: int | None = None) -> None:
        """The sender's last line and the runner's last look."""
        orders = len({intent.order_id for intent in self.intents})
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


def clean_world(seed: int = 0, orders: int | None = None, **manifest: object) -> World:
    """A valid run so far, without its end; some orders need a retry, some sell two skus."""
    chance = random.Random(seed)
    world = World(**manifest)
    world.look(at_ms=0)
    for number in range(chance.randint(1, 6) if orders is None else orders):
        order, at_ms = FIRST + number, 100.0 * (number + 1)
        lines = chance.choice([
            ONE_LINE, tuple(Line(sku=sku, quantity=chance.randint(1, 3)) for sku in SKUS)
        ])  # fmt: skip
        if chance.random() < 0.5:
            world.deliver(order, at_ms=at_ms - 50, topic="orders/create", lines=lines)
        world.settled_order(order, at_ms=at_ms, lines=lines)
        if chance.random() < 0.4:
            world.deliver(order, at_ms=at_ms, copy=2, outcome=Outcome.INFO, status=500, lines=lines)
            world.deliver(order, at_ms=at_ms + 60, copy=2, attempt=2, lines=lines)
        if chance.random() < 0.3:
            world.ship(order, at_ms=at_ms + 25, effect=False)
        if chance.random() < 0.7:
            world.look(at_ms=at_ms + 30)
    return world


def clean(seed: int = 0) -> Bundle:
    """A whole run that is valid."""
    world = clean_world(seed)
    world.end()
    return world.bundle()


def _two_shipments_of_one_row(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.ship(VICTIM, at_ms=2_045)


def _two_rows(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, rows=2, logs=2, movements=ONE_LINE * 2)
    world.ship(VICTIM, at_ms=2_031, key="another row")


def _acknowledged_and_never_shipped(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.calls = [call for call in world.calls if call.order_id != VICTIM]


def _acknowledged_too_early(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, copy=1, replica="web-2")
    world.hold_state(VICTIM, status="pending", rows=0, logs=0, movements=())
    world.look(at_ms=2_020)
    world.deliver(VICTIM, at_ms=2_000, copy=0, replica="web-1", took_ms=60)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


def _acknowledged_and_nothing_done(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000)


def _torn(world: World) -> None:
    world.deliver(VICTIM, at_ms=2_000, took_ms=90)
    world.hold_state(VICTIM, rows=0, logs=0)
    world.look(at_ms=2_010)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_080)


def _shipped_without_its_order(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status=None)


def _moved_twice(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, movements=ONE_LINE * 2)


def _stock_leaks(world: World) -> None:
    world.settled_order(VICTIM, at_ms=2_000)
    world.leaked[SKUS[0]] = 2


PLANTS: dict[str, tuple[frozenset[str], Callable[[World], None]]] = {
    "A1": (frozenset({"A1"}), _two_shipments_of_one_row),
    "A1 by two rows": (frozenset({"A1", "A8"}), _two_rows),
    "A2": (frozenset({"A2"}), _acknowledged_and_never_shipped),
    "A2 by doing nothing": (frozenset({"A2", "A3"}), _acknowledged_and_nothing_done),
    "A3": (frozenset({"A3"}), _acknowledged_too_early),
    "A5": (frozenset({"A5"}), _torn),
    "A5 for good": (frozenset({"A5", "A3"}), _shipped_without_its_order),
    "A8": (frozenset({"A8"}), _moved_twice),
    "A8 by the sums": (frozenset({"A8"}), _stock_leaks),
}
DECLARED = {name: declared for name, (declared, _) in PLANTS.items()}


def planted(name: str, **manifest: object) -> Bundle:
    """A run with one anomaly: `name` is a code, or a code and another way to get it."""
    world = clean_world(3, **manifest)
    PLANTS[name][1](world)
    world.end()
    return world.bundle()
