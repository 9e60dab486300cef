"""A planted race of the article's handler: two webhook ids of one order, on two replicas."""

import random

from msgspec.structs import replace

from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.records import (
    FORMAT_VERSION,
    Completion,
    Delivery,
    Evidence,
    FaultRecord,
    Intent,
    Line,
    Manifest,
    Outcome,
    ProviderCall,
    Stage,
    StatementTrace,
    Thresholds,
)
from results.verdict import Coverage, Doubt, FaultCount, Finding, NotJudged, Validity, Verdict

ORDER = 910000420000000017
FIRST, SECOND = "aaaa1111-0000-4000-8000-000000000001", "bbbb2222-0000-4000-8000-000000000002"
LINES = (Line(sku="ONCE-001", quantity=2),)
ORIGIN_NS = 5_000_000_000


def at(ms: float) -> int:
    return ORIGIN_NS + int(ms * 1e6)


def delivery(webhook_id: str, target: str, sent: float, done: float, status: int = 200) -> Delivery:
    attempt_id = f"{webhook_id}.0.1"
    return Delivery(
        intent=Intent(
            attempt_id=attempt_id,
            group_id="g1",
            shop="onceproof-demo.myshopify.com",
            order_id=ORDER,
            topic="orders/paid",
            webhook_id=webhook_id,
            event_id="e1",
            copy=0,
            attempt=1,
            authentic=True,
            target=target,
            lines=LINES,
            intended_ns=at(sent),
        ),
        completion=Completion(
            attempt_id=attempt_id,
            sent_ns=at(sent),
            done_ns=at(done),
            outcome=Outcome.OK if status < 300 else Outcome.INFO,
            status=status,
        ),
    )


def flight(
    replica: str,
    number: int,
    sql: str,
    begin: float,
    end: float | None,
    *,
    tag: str = "",
    keys: tuple[str, ...] = (),
    before: str = "T",
    after: str = "T",
) -> StatementTrace:
    return StatementTrace(
        replica=replica,
        connection=1,
        backend_pid=100,
        flight=number,
        sql=(sql,),
        parameters=((),),
        keys=keys,
        received_ns=at(begin),
        forwarded_ns=at(begin),
        replied_ns=None if end is None else at(end),
        returned_ns=None if end is None else at(end),
        state_before=before,
        state_after=after,
        tags=(tag,) if tag else (),
        sqlstate=None,
    )


SELECT_LOG = "SELECT status FROM shopify_webhook_log WHERE webhook_id = $1"
SELECT_ORDER = "SELECT status FROM orders WHERE shop = $1 AND order_id = $2"
UPDATE_ORDER = "UPDATE orders SET status = 'paid' WHERE shop = $1 AND order_id = $2"
INSERT_FULFIL = (
    "INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines) "
    "VALUES ($1, $2, $3, $4)"
)
UPDATE_STOCK = "UPDATE stock SET remaining = remaining - $2 WHERE sku = $1"
INSERT_LOG = "INSERT INTO shopify_webhook_log VALUES ($1, $2)"


def handling(replica: str, webhook_id: str, times: list[float]) -> list[StatementTrace]:
    """The article's transaction; `times` are the begin and end of each of its seven flights."""
    key = (str(ORDER),)
    spans = list(zip(times[::2], times[1::2], strict=True))
    plan = [
        (SELECT_LOG, "SELECT 0", (webhook_id,), "I", "I"),
        ("BEGIN", "BEGIN", (), "I", "T"),
        (SELECT_ORDER, "SELECT 1", key, "T", "T"),
        (UPDATE_ORDER, "UPDATE 1", key, "T", "T"),
        (INSERT_FULFIL, "INSERT 0 1", key, "T", "T"),
        (UPDATE_STOCK, "UPDATE 1", (), "T", "T"),
        (INSERT_LOG, "INSERT 0 1", (webhook_id,), "T", "T"),
        ("COMMIT", "COMMIT", (), "T", "I"),
    ]
    return [
        flight(replica, n, sql, begin, end, tag=tag, keys=keys, before=before, after=after)
        for n, ((sql, tag, keys, before, after), (begin, end)) in enumerate(
            zip(plan, spans, strict=True), start=1
        )
    ]


def deliveries() -> list[Delivery]:
    return [delivery(FIRST, "web-0", 0, 21), delivery(SECOND, "web-1", 0.2, 33)]


def statements() -> list[StatementTrace]:
    first = [2, 2.4, 3, 3.2, 3.6, 4, 5, 5.5, 6.2, 7, 8, 8.5, 9, 9.6, 17, 18.4]
    second = [2.2, 2.6, 3.1, 3.3, 3.8, 4.3, 6, 18.7, 20, 20.6, 21, 21.6, 22, 22.5, 23, 24]
    noise = [
        flight("web-0", 40, "SELECT pg_advisory_unlock_all()", 30, 31, before="I", after="I"),
        flight("web-2", 1, SELECT_ORDER, 1, 2, keys=("910000420000000099",), before="I", after="I"),
    ]
    return [*handling("web-0", FIRST, first), *handling("web-1", SECOND, second), *noise]


def calls() -> list[ProviderCall]:
    return [
        ProviderCall(
            call_id=f"c{n}",
            at_ns=at(ms),
            shop="onceproof-demo.myshopify.com",
            order_id=ORDER,
            key=str(n),
            lines=LINES,
            effect_id=f"shipment-{n}",
        )
        for n, ms in ((1, 40.0), (2, 47.0))
    ]


def crash(kind: str = "crash", replica: str = "web-1", ms: float = 22.7) -> list[FaultRecord]:
    def record(stage: Stage, offset: float) -> FaultRecord:
        evidence = Evidence(facts={"signal": 9}) if stage == Stage.EVIDENCE else None
        return FaultRecord(
            fault_id="f1",
            kind=kind,
            point="commit-dropped",
            stage=stage,
            at_ns=at(ms + offset),
            replica=replica,
            evidence=evidence,
        )

    return [
        record(Stage.ASKED, -5),
        record(Stage.PARKED, -1),
        record(Stage.INJECT, 0),
        record(Stage.EVIDENCE, 1),
    ]


def manifest(**changes: object) -> Manifest:
    fields: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "run_id": "20261124T000000Z-distinct_ids-article-7",
        "scenario": "distinct_ids",
        "title": "Two webhook ids for one order, released together",
        "strategy": "article",
        "provider": "honours",
        "seed": 7,
        "started_utc": "2026-11-24T00:00:00Z",
        "wall_ns": 1_795_000_000_000_000_000,
        "monotonic_ns": ORIGIN_NS,
        "status": "finished",
        "runner_pid": 1,
        "thresholds": Thresholds(),
        "asked_faults": {"crash:commit-dropped": 1},
        "environment": {"postgres": {"version": "18.1"}, "python": "3.11"},
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def bundle(*, swarm: int = 0, **changes: object) -> Bundle:
    """The race, and `swarm` further deliveries of other orders over about ten seconds."""
    chance = random.Random(7)
    mine = deliveries()
    for n in range(swarm):
        sent = chance.random() * 10_000
        took = chance.lognormvariate(1.6, 0.5) + (900 if 4000 < sent < 4700 else 0)
        status = 200 if took < 800 else 503
        other = delivery(f"w{n}", "web-0", sent, sent + took, status)
        order = replace(other.intent, order_id=ORDER + 1 + n)
        mine.append(replace(other, intent=order))
    fields: dict[str, object] = {
        "manifest": manifest(),
        "intents": tuple(item.intent for item in mine),
        "completions": tuple(item.completion for item in mine if item.completion),
        "calls": tuple(calls()),
        "statements": tuple(statements()),
        "faults": tuple(crash(ms=4000)),
    }
    return Bundle(**(fields | changes))  # type: ignore[arg-type]


def verdict(validity: Validity = Validity.INVALID, **changes: object) -> Verdict:
    counts = {"crash:commit-dropped": FaultCount(asked=1, parked=1, fired=1, evidenced=1)}
    guilty = validity is Validity.INVALID
    message = f"Order {ORDER} was shipped 2 times."
    fields: dict[str, object] = {
        "run_id": manifest().run_id,
        "scenario": "distinct_ids",
        "title": manifest().title,
        "strategy": "article",
        "provider": "honours",
        "seed": 7,
        "validity": validity,
        "sentence": "1 of 412 orders was shipped twice.",
        "anomalies": (anomaly("A1", ("onceproof-demo.myshopify.com", ORDER), message, at(47)),)
        if guilty
        else (),
        "totals": {"A1": 1} if guilty else {},
        "not_judged": (NotJudged(code="A6", name="stuck-order", reason="not written yet"),),
        "findings": (Finding(name="spurious-5xx", count=3, message="A retry healed each."),),
        "doubts": (Doubt(cause="no overlap", message="0 groups overlapped.", knob="More copies."),)
        if validity is Validity.UNKNOWN
        else (),
        "coverage": Coverage(
            orders=412,
            deliveries=824,
            duplicate_groups=412,
            overlapping_groups=311,
            faults=counts,
            exposures=312,
            bound=None if guilty else 3 / 312,
            effects=413,
            snapshots=20,
        ),
    }
    return Verdict(**(fields | changes))  # type: ignore[arg-type]
