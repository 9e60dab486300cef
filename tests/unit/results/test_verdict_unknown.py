"""Each cause of `unknown` by itself: the verdict, the exit status, and a knob to turn."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from results.bundle import Bundle, Note
from results.checker import check
from results.records import Completion, FaultRecord, Outcome, Stage
from results.verdict import Validity
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.planted import planted
from tests.unit.results.plants import counted
from tests.unit.results.world import COUNTED, FIRST, SHOP, World, manifest_of, ns


def ended(change: Callable[[World], object], **manifest: object) -> Bundle:
    world = clean_world(3, **manifest)
    change(world)
    world.end()
    return world.bundle()


def with_thresholds(bundle: Bundle, **changes: object) -> Bundle:
    """The same records, other needs."""
    needs = msgspec.structs.replace(bundle.manifest.thresholds, **changes)
    return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, thresholds=needs))


def nothing(world: World) -> None:
    pass


def crash_journal(until: Stage, **more: object) -> Bundle:
    def add(world: World) -> None:
        world.crash("fault-0", "commit-dropped", at_ms=150, until=until, **more)  # type: ignore[arg-type]

    return ended(add, asked_faults={"crash:commit-dropped": 1})


def no_cancellation(world: World) -> None:
    world.deliver(FIRST, at_ms=4_000, topic="orders/cancelled", outcome=Outcome.INFO, status=500)


def long_run(world: World, *, gap_ms: int) -> None:
    """A thousand seconds with a look every five, and once not."""
    world.deliver(FIRST, at_ms=1_000_000, copy=7)
    for at_ms in (*range(5_000, 500_001, 5_000), *range(500_000 + gap_ms, 1_000_000, 5_000)):
        world.look(at_ms=at_ms)


def late(world: World) -> None:
    world.deliver(FIRST, at_ms=100, copy=7, late_ms=900, took_ms=950)


def never_answered(world: World) -> None:
    world.deliver(FIRST + 50, at_ms=3_000, outcome=None)


def empty_world(world: World) -> None:
    for records in (world.intents, world.completions, world.calls, world.statements):
        records.clear()
    world.states.clear()
    world.snapshots.clear()
    world._looked.clear()


def all_refused(world: World) -> None:
    empty_world(world)
    world.deliver(FIRST, at_ms=10, outcome=Outcome.FAIL)
    world.deliver(FIRST, at_ms=10, copy=1, outcome=Outcome.FAIL)


def stray_completion(world: World) -> None:
    world.completions.append(
        Completion(attempt_id="?", sent_ns=ns(1), done_ns=ns(2), outcome=Outcome.INFO)
    )


CAUSES: dict[str, tuple[set[str], Callable[[], Bundle]]] = {
    "no overlap": ({"no-overlap"}, lambda: with_thresholds(clean(1), overlapping_groups=99)),
    "no wire": (
        {"no-overlap", "nothing-exposed"},
        lambda: replace(clean(1), statements=(), manifest=manifest_of(has_wire=False)),
    ),
    "a kill that missed": ({"fault-missed"}, lambda: crash_journal(Stage.ASKED)),
    "a kill never asked of the injector": (
        {"fault-missed"},
        lambda: ended(nothing, asked_faults={"crash:blind": 2}),
    ),
    "evidence withheld": ({"fault-not-evidenced"}, lambda: crash_journal(Stage.INJECT)),
    "evidence incomplete": (
        {"fault-not-evidenced"},
        lambda: crash_journal(Stage.HEAL, missing=("backend_gone",)),
    ),
    "no lost acknowledgement": (
        {"no-lost-acknowledgement"},
        lambda: with_thresholds(clean(1), lost_acknowledgements=1),
    ),
    "no traffic": ({"no-traffic", "no-overlap"}, lambda: ended(empty_world)),
    "everything refused": (
        {"nothing-acknowledged", "no-overlap", "unresolved-orders"},
        lambda: ended(all_refused),
    ),
    "no cancellation was taken": ({"topic-refused"}, lambda: ended(no_cancellation)),
    "not settled": ({"not-settled"}, lambda: ended(nothing, settled=False)),
    "nobody looked": (
        {"sampling-gap"},
        lambda: ended(lambda world: world.deliver(FIRST, at_ms=20_000, copy=7)),
    ),
    "nobody looked for a part of a long run": (
        {"sampling-gap"}, lambda: ended(lambda world: long_run(world, gap_ms=11_000))
    ),
    "late generator": ({"late-generator"}, lambda: ended(late)),
    "unresolved": ({"unresolved-orders"}, lambda: ended(never_answered)),
    "lost controller": (
        {"controller-lost"},
        lambda: ended(nothing, controller_lost="its stream was closed"),
    ),
    "interrupted": ({"cut-short"}, lambda: ended(nothing, status="interrupted")),
    "no generator end": ({"cut-short"}, lambda: replace(clean(1), generator_ends=())),
    "no final look": (
        {"final-snapshot-missing"},
        lambda: replace(clean(1), snapshots=clean(1).snapshots[:-1]),
    ),
    "no witness": ({"no-witness"}, lambda: ended(nothing, has_witness=False)),
    "witness file missing": ({"witness-missing"}, lambda: replace(
        clean(1), has_witness_file=False, calls=(), replies=())),
    "no ledger": ({"no-ledger"}, lambda: ended(nothing, ledger_queries=())),
    "no ledger and no look": ({"no-ledger"}, lambda: replace(
        ended(lambda world: world.deliver(FIRST, at_ms=20_000, copy=7), ledger_queries=()),
        snapshots=())),
    "torn line": (
        {"unreadable-lines"},
        lambda: replace(clean(1), notes=(Note(file="wire.jsonl", line=3, torn=True, problem="x"),)),
    ),
    "attempt id used twice": (
        {"contradictory-history"},
        lambda: replace(clean(1), intents=clean(1).intents + clean(1).intents[:1]),
    ),
    "completed but never intended": (
        {"contradictory-history"},
        lambda: ended(stray_completion),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_unknown_with_exit_2_and_a_knob(name: str) -> None:
    causes, make = CAUSES[name]
    verdict = check(make())
    assert {doubt.cause for doubt in verdict.doubts} == causes
    assert all(doubt.knob and doubt.message for doubt in verdict.doubts)
    assert verdict.validity is Validity.UNKNOWN
    assert verdict.exit_status == 2
    assert verdict.anomalies == ()
    assert all(cause in verdict.sentence for cause in causes)


def test_shed_orders_are_a_doubt_and_a_higher_threshold_removes_it() -> None:
    world = clean_world(3)
    world.end(shed=2)
    verdict = check(world.bundle())
    assert [doubt.cause for doubt in verdict.doubts] == ["shed-orders"]
    assert check(with_thresholds(world.bundle(), shed_orders=2)).exit_status == 0


def test_orders_that_were_planned_and_neither_sent_nor_shed_are_a_doubt() -> None:
    world = clean_world(3)
    orders = len({intent.order_id for intent in world.intents})
    world.end(planned=orders + 2)
    (doubt,) = check(world.bundle()).doubts
    assert doubt.cause == "orders-not-sent"
    assert f"2 orders short of the {orders + 2}" in doubt.message


def test_a_trace_that_ends_before_the_run_proves_nothing() -> None:
    world = clean_world(3)
    world.end()
    assert check(world.bundle()).exit_status == 0
    world.connection_ends(at_ms=9_000, replica="", event="trace-full")
    (doubt,) = check(world.bundle()).doubts
    assert doubt.cause == "trace-full"


def test_thresholds_that_are_switched_off_raise_no_doubt() -> None:
    bundle = with_thresholds(
        ended(late, asked_faults={"crash:blind": 1}),
        overlapping_groups=0, every_fault_evidenced=False, lateness_p99_ms=None,
    )  # fmt: skip
    assert check(bundle).exit_status == 0


def test_an_anomaly_outweighs_every_doubt() -> None:
    verdict = check(with_thresholds(planted("A1"), overlapping_groups=999))
    assert verdict.exit_status == 1
    assert verdict.doubts


def test_the_reason_of_a_missed_fault_is_told() -> None:
    bundle = crash_journal(Stage.ASKED)
    missed = FaultRecord(
        fault_id="fault-0",
        kind="crash",
        point="commit-dropped",
        stage=Stage.MISSED,
        at_ns=ns(9),
        detail={"reason": "no transaction parked"},
    )
    (doubt,) = check(replace(bundle, faults=(*bundle.faults, missed))).doubts
    assert "no transaction parked" in doubt.message


def said(bundle: Bundle) -> str:
    return " ".join(doubt.message for doubt in check(bundle).doubts)


def test_each_fault_is_told_with_its_own_reasons() -> None:
    assert "not even journaled" in said(ended(nothing, asked_faults={"crash:blind": 2}))
    assert "missing: the whole record of it" in said(crash_journal(Stage.INJECT))
    world = clean_world(3, asked_faults={"freeze:blind": 1})
    world.crash("a", "blind", at_ms=150, missing=("exit_signal",))
    world.crash("b", "reply-lost", at_ms=150, missing=("backend_gone", "fate"))
    world.crash("c", "blind", at_ms=150, kind="freeze", until=Stage.ASKED)
    world.crash("d", "reply-lost", at_ms=150, until=Stage.ASKED)
    asked = world.faults[-2:]
    for one, reason in zip(asked, ("no replica", "no transaction"), strict=True):
        detail = {"reason": reason}
        world.faults.append(msgspec.structs.replace(one, stage=Stage.MISSED, detail=detail))
    world.end()
    told = said(world.bundle())
    assert "crash:blind: 1 of 1 happened without proof (missing: exit_signal)" in told
    assert "crash:reply-lost: 1 of 1 happened without proof (missing: backend_gone, fate)" in told
    assert "freeze:blind: 1 of 1 never happened (no replica)" in told
    assert "crash:reply-lost: 1 of 2 never happened (no transaction)" in told


def test_why_a_run_was_cut_short_is_told() -> None:
    assert "its status is 'interrupted'" in said(ended(nothing, status="interrupted"))
    assert "1 of 1 senders never reported" in said(replace(clean(1), generator_ends=()))


def test_of_many_sentences_the_first_are_told() -> None:
    notes = tuple(Note(file="x.jsonl", line=n, torn=False, problem="x") for n in range(4))
    assert said(replace(clean(1), notes=notes)).endswith("; and 1 more")
    assert "more" not in said(replace(clean(1), notes=notes[:3]))


def test_findings_do_not_move_the_verdict() -> None:
    world = clean_world(3, provider="ignores")
    world.deliver(FIRST, at_ms=100, copy=5, outcome=Outcome.INFO, status=500)
    world.end()
    verdict = check(world.bundle())
    assert verdict.exit_status == 0
    assert {"spurious-5xx", "provider-ignores-keys"} <= {one.name for one in verdict.findings}


def test_create_cancelled_and_forged_deliveries_promise_nothing() -> None:
    world = clean_world(3)
    world.deliver(FIRST + 60, at_ms=3_000, topic="orders/create")
    world.deliver(FIRST + 61, at_ms=3_000, topic="orders/cancelled")
    world.deliver(FIRST + 62, at_ms=3_000, authentic=False, outcome=Outcome.FAIL, status=401)
    world.end()
    history = world.bundle().history
    assert check(world.bundle()).exit_status == 0
    assert not {(SHOP, FIRST + number) for number in (60, 61, 62)} & set(history.by_order)
    assert (SHOP, FIRST + 61) in history.cancellations
    assert (SHOP, FIRST + 62) in history.forged


def test_a_gap_of_less_than_a_hundredth_of_a_long_run_is_no_doubt() -> None:
    verdict = check(ended(lambda world: long_run(world, gap_ms=9_000)))
    assert (verdict.validity, verdict.doubts) == (Validity.VALID, ())


def test_a_service_without_a_provider_is_judged_by_its_own_books() -> None:
    def counted_once(world: World) -> None:
        world.manifest = manifest_of(ledger_queries=COUNTED, has_witness=False)
        counted(world)

    verdict = check(ended(counted_once))
    assert (verdict.doubts, verdict.totals) == ((), {})
    assert verdict.validity is Validity.VALID
