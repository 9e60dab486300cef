"""The story of one order: every step that touched it, in the order in which it happened.

A counterexample convinces only when a reader can check it. So a `Timeline` holds nothing but what
was recorded: deliveries and their answers (the sender's history), statements and Postgres' own
command tags (the wire), calls and shipments (the witness), holds and faults (the journal). Lanes
are the sender, each replica that took part, Postgres and the witness.

A transaction belongs to the order when one of its flights carried the order's id or one of its
webhook ids; then all of its flights do, COMMIT included. BEGIN, session settings and the flights
of other orders are left out. A *wait* is a statement that was answered only after another
transaction on the same order had been told to end: the trace shows the order of events, and the
reader may conclude that it waited for a lock. Rows are not in the trace, only their number.

The prose (`results/narrative.py`) is built from these steps and cites their numbers.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from results.bundle import Bundle
from results.narrative import tell
from results.records import (
    ConnectionTrace,
    Delivery,
    FaultRecord,
    HoldTrace,
    Outcome,
    ProviderCall,
    Stage,
    StatementTrace,
)
from results.steps import POSTGRES, SENDER, WITNESS, Kind, Step, Timeline, short
from results.transactions import Transaction, blocked_by, describe, transactions_of_order
from results.verdict import Anomaly, Verdict

__all__ = ["Kind", "Step", "Timeline", "build_timeline", "counterexamples", "explain"]

MAX_STEPS = 60  # a card longer than this convinces nobody; `omitted` says what was left out

_SESSION = re.compile(
    r"^\s*(BEGIN|START\s+TRANSACTION|SET|SHOW|RESET|DISCARD|LISTEN|UNLISTEN|CLOSE|"
    r"DEALLOCATE|SELECT\s+pg_advisory_unlock_all)\b",
    re.IGNORECASE,
)


def build_timeline(
    order_id: int,
    code: str,
    *,
    deliveries: Sequence[Delivery],
    statements: Iterable[StatementTrace] = (),
    calls: Iterable[ProviderCall] = (),
    connections: Iterable[ConnectionTrace] = (),
    holds: Iterable[HoldTrace] = (),
    faults: Iterable[FaultRecord] = (),
    shop: str = "",
    detail: str = "",
) -> Timeline:
    """Tell the story of one order from the whole run's records (others are filtered out).

    `code` is the anomaly's kebab-case name and decides the last sentence; `detail` is what the
    judge wrote about it, quoted beneath when given. Without a `shop` the order id alone counts.
    """
    same = [item for item in deliveries if item.intent.order_id == order_id]
    mine = [item for item in same if item.intent.shop == shop or not shop]
    mine.sort(key=lambda item: item.intent.intended_ns)
    foreign = [item.intent.webhook_id for item in same if item.intent.shop != shop and shop]
    own = transactions_of_order(order_id, mine, statements, foreign)
    own_connections = {(item.replica, item.connection) for item in own}
    steps = [*_sender_steps(mine), *_statement_steps(own)]
    steps += _witness_steps(
        call
        for call in calls
        if call.order_id == order_id and (call.shop == shop or not shop or not call.shop)
    )
    steps += _hold_steps(own, holds)
    replicas = sorted({r for r, _ in own_connections} | {item.intent.target for item in mine})
    steps += _fault_steps(steps, replicas, faults, connections, own_connections)
    steps.sort(key=lambda step: (step.at_ns, step.until_ns))
    kept = [replace(step, number=n) for n, step in enumerate(steps[:MAX_STEPS], start=1)]
    seen = {step.lane for step in kept}
    timeline = Timeline(
        order_id=order_id,
        code=code,
        lanes=(SENDER, *(name for name in replicas if name in seen), POSTGRES, WITNESS),
        steps=tuple(kept),
        omitted=max(0, len(steps) - MAX_STEPS),
    )
    return replace(timeline, prose=tell(timeline, mine, own, detail))


def _sender_steps(deliveries: Sequence[Delivery]) -> Iterable[Step]:
    for delivery in deliveries:
        intent, completion = delivery.intent, delivery.completion
        sent_ns = completion.sent_ns if completion else None
        at_ns = sent_ns if sent_ns is not None else intent.intended_ns
        retry = f", attempt {intent.attempt}" if intent.attempt > 1 else ""
        forged = "" if intent.authentic else ", forged"
        text = f"{short(intent.webhook_id)} → {intent.target}{retry}{forged}"
        yield Step(at_ns=at_ns, until_ns=at_ns, lane=SENDER, kind=Kind.SEND, text=text)
        if completion is None:
            continue
        status = completion.status if completion.status is not None else completion.error
        mark = {Outcome.OK: "ok", Outcome.INFO: "unknown", Outcome.FAIL: "refused"}
        text = f"{short(intent.webhook_id)} ← {status or 'nothing'} ({mark[completion.outcome]})"
        done = completion.done_ns
        yield Step(at_ns=done, until_ns=done, lane=SENDER, kind=Kind.REPLY, text=text)


def _statement_steps(own: Sequence[Transaction]) -> Iterable[Step]:
    for transaction in own:
        for flight in transaction.flights:
            shown = [sql for sql in flight.sql if not _SESSION.match(sql)]
            if not shown:
                continue
            text = "; ".join(dict.fromkeys(describe(sql) for sql in shown))
            at_ns = flight.received_ns if flight.forwarded_ns is None else flight.forwarded_ns
            answered = flight.replied_ns if flight.replied_ns is not None else at_ns
            yield Step(
                at_ns=at_ns,
                until_ns=answered,
                lane=transaction.replica,
                kind=Kind.STATEMENT,
                text=text,
                sql="; ".join(" ".join(sql.split()) for sql in shown),
                answer=_answer(flight),
            )
            blocker = blocked_by(flight, transaction, own)
            if blocker is not None:
                took_ms = (answered - at_ns) / 1e6
                yield Step(
                    at_ns=at_ns,
                    until_ns=answered,
                    lane=POSTGRES,
                    kind=Kind.WAIT,
                    text=f"{transaction.replica} waits {took_ms:.1f} ms: {blocker.replica} open",
                )


def _answer(flight: StatementTrace) -> str:
    if flight.forwarded_ns is None:
        return "never sent"
    if flight.sqlstate:
        return f"ERROR {flight.sqlstate}"
    if flight.replied_ns is None:
        return "no answer"
    tags = ", ".join(dict.fromkeys(tag for tag in flight.tags if tag != "BEGIN"))
    return f"{tags} (withheld)" if flight.returned_ns is None else tags


def _witness_steps(calls: Iterable[ProviderCall]) -> Iterable[Step]:
    for call in calls:
        kind = Kind.CALL if call.effect_id is None else Kind.EFFECT
        made = (
            "known key, nothing ships" if call.effect_id is None else f"ships {call.effect_id[:17]}"
        )
        key = f" key {call.key}" if call.key else " no key"
        yield Step(
            at_ns=call.at_ns, until_ns=call.at_ns, lane=WITNESS, kind=kind, text=f"{made},{key}"
        )


def _hold_steps(own: Sequence[Transaction], holds: Iterable[HoldTrace]) -> Iterable[Step]:
    wanted = {flight.hold_id for item in own for flight in item.flights if flight.hold_id}
    for hold in holds:
        if hold.hold_id not in wanted:
            continue
        took_ms = (hold.released_ns - hold.parked_ns) / 1e6
        ended = f"{hold.release}, by itself" if hold.perturbed else hold.release
        text = f"held {hold.point} for {took_ms:.1f} ms, then {ended}"
        yield Step(
            at_ns=hold.parked_ns,
            until_ns=hold.released_ns,
            lane=hold.replica,
            kind=Kind.HOLD,
            text=text,
        )


def _fault_steps(
    steps: Sequence[Step],
    replicas: Sequence[str],
    faults: Iterable[FaultRecord],
    connections: Iterable[ConnectionTrace],
    own_connections: set[tuple[str, int]],
) -> Iterable[Step]:
    """Injected faults of these replicas within the order's time, and connections lost in use."""
    if not steps:
        return
    begin = min(step.at_ns for step in steps)
    end = max(step.until_ns for step in steps)
    for fault in faults:
        if fault.stage != Stage.INJECT or fault.replica not in replicas:
            continue
        if begin <= fault.at_ns <= end:
            name = " ".join(part for part in (fault.kind, fault.point) if part)
            yield _crash(fault.at_ns, fault.replica, f"✗ {name}")
    for trace in connections:
        busy = trace.in_flight or trace.state != "I"
        mine = (trace.replica, trace.connection) in own_connections and begin <= trace.at_ns <= end
        if mine and busy and trace.event in ("client-eof", "cut"):
            state = "in a transaction" if trace.state != "I" else "in flight"
            yield _crash(trace.at_ns, trace.replica, f"✗ connection lost {state}")


def _crash(at_ns: int, lane: str, text: str) -> Step:
    return Step(at_ns=at_ns, until_ns=at_ns, lane=lane, kind=Kind.CRASH, text=text)


def counterexamples(bundle: Bundle, verdict: Verdict, limit: int = 3) -> list[Timeline]:
    """For each code found that no other one implies, the story of its simplest order.

    Simplest is the fewest deliveries, then the fewest provider calls, then the smallest id. A
    code that concerns the stock and no order has no story. At most `limit` timelines.
    """
    stories: list[Timeline] = []
    for anomalies in verdict.by_code().values():
        primary = [item for item in anomalies if item.order_id and not item.implied_by]
        if not primary or len(stories) >= limit:
            continue
        chosen = min(primary, key=lambda item: _length(bundle, item))
        stories.append(explain(bundle, chosen))
    return stories


def explain(bundle: Bundle, anomaly: Anomaly) -> Timeline:
    """Tell the story of one anomaly's order."""
    return build_timeline(
        anomaly.order_id,
        anomaly.name,
        deliveries=bundle.history.deliveries,
        statements=bundle.statements,
        calls=bundle.calls,
        connections=bundle.connections,
        holds=bundle.holds,
        faults=bundle.faults,
        shop=anomaly.shop,
        detail=anomaly.message,
    )


def _length(bundle: Bundle, anomaly: Anomaly) -> tuple[int, int, int]:
    key = (anomaly.shop, anomaly.order_id)
    deliveries = bundle.history.by_order.get(key, ())
    return len(deliveries), len(bundle.effects.get(key, ())), anomaly.order_id
