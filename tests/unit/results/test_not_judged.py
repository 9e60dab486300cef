"""What a run cannot tell is listed with its reason, and nobody is accused of it."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from results.bundle import Bundle, Note
from results.checker import check
from results.records import Line, Outcome, Stage
from tests.unit.results.clean import clean_world
from tests.unit.results.planted import VICTIM, planted, settled
from tests.unit.results.world import World


def damaged(file: str) -> Callable[[Bundle], Bundle]:
    note = Note(file=f"{file}.jsonl", line=3, torn=False, problem="x")
    return lambda bundle: replace(bundle, notes=(note,))


def manifest(**changes: object) -> Callable[[Bundle], Bundle]:
    def change(bundle: Bundle) -> Bundle:
        return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, **changes))

    return change


def trace_full(bundle: Bundle) -> Bundle:
    world = World()
    world.connection_ends(at_ms=1, replica="", event="trace-full")
    return replace(bundle, connections=(*bundle.connections, *world.connections))


def nameless(bundle: Bundle) -> Bundle:
    """The service knows its orders by other ids."""
    statements = [msgspec.structs.replace(one, keys=("x",)) for one in bundle.statements]
    return replace(bundle, statements=tuple(statements))


def unended(bundle: Bundle) -> Bundle:
    return replace(bundle, generator_ends=())


def without_final(bundle: Bundle) -> Bundle:
    return replace(bundle, snapshots=bundle.snapshots[:-1])


def unseen(bundle: Bundle) -> Bundle:
    return replace(bundle, snapshots=())


def declares(*queries: str) -> Callable[[Bundle], Bundle]:
    return manifest(ledger_queries=queries)


LACKS: dict[str, tuple[Callable[[Bundle], Bundle], str, str]] = {
    "no witness": (manifest(has_witness=False), "A1 A2 A4 A6 A7 A12 A16", "no witness"),
    "the witness's file": (
        lambda bundle: replace(bundle, has_witness_file=False, calls=()),
        "A1 A2 A4 A6 A7 A12 A16",
        "no witness",
    ),
    "a line of the witness": (damaged("witness"), "A2 A6", "a missing shipment proves nothing"),
    "a line of the history": (
        damaged("history-0"),
        "A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16",
        "the history was cut",
    ),
    "the history's end": (
        unended, "A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16", "cut short"),
    "a line of the ledger": (
        damaged("ledger"), "A3 A5 A8 A9 A10 A17", "what it lacks proves nothing"),
    "all snapshots": (unseen, "A3 A5 A8 A17", "no snapshot of the ledger"),
    "the last snapshot": (without_final, "A2 A6 A7", "the run was cut short"),
    "a line of the journal": (damaged("journal"), "A6 A7 A13 A16", "the journal"),
    "a line of the wire": (damaged("wire"), "A6 A7 A13 A14 A16", "lacks lines"),
    "what came after the limit": (trace_full, "A6 A7 A13 A14 A16", "lacks lines"),
    "the control of the wire": (
        manifest(controller_lost="gone"), "A2 A6 A7 A9 A13 A14 A16", "lost: gone"),
    "its end": (manifest(status="interrupted"), "A2 A6 A7 A9", "the run was cut short"),
    "a wire": (manifest(has_wire=False), "A13 A14", "no wire"),
    "statements": (lambda bundle: replace(bundle, statements=()), "A13 A14", "no wire"),
    "ids in the trace": (nameless, "A13 A14", "names an order"),
    "orders and fulfillments": (
        declares("webhook_log", "movements"), "A3 A9", "neither orders nor fulfillments"),
    "two parts": (declares("webhook_log", "stock"), "A5", "fewer than two"),
    "movements and orders": (declares("stock", "webhook_log"), "A8", "neither stock movements"),
    "stock and movements": (declares("orders", "webhook_log"), "A8", "neither stock movements"),
    "counts": (declares("orders", "fulfillments"), "A17", "no counts"),
    "a webhook log": (declares("orders", "movements"), "A9", "no webhook log"),
}  # fmt: skip


@pytest.mark.parametrize("lack", LACKS)
def test_a_run_that_lacks_it_says_so_and_accuses_nobody(lack: str) -> None:
    change, codes, reason = LACKS[lack]
    for code in codes.split():
        verdict = check(change(planted(code)))
        (entry,) = [one for one in verdict.not_judged if one.code == code]
        assert reason in entry.reason
        assert code not in verdict.totals


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("A1", damaged("witness")),
        ("A1", damaged("history-0")),
        ("A4", damaged("witness")),
        ("A7", damaged("witness")),
        ("A12", damaged("witness")),
        ("A15", damaged("wire")),
        ("A15", manifest(has_witness=False)),
        ("A8", declares("movements")),
        ("A8 by the sums", declares("stock", "orders")),
        ("A10", declares()),
        ("A10 in the ledger", manifest(has_witness=False)),
        ("A11", declares()),
        ("A11 in the log", lambda bundle: replace(bundle, calls=())),
        ("A17", unended),
        ("A17 for a while", without_final),
        ("A9", declares("webhook_log", "fulfillments")),
        ("A9", declares("webhook_log", "orders")),
        ("A13", manifest(has_witness=False)),
        ("A14", manifest(has_witness=False)),
        ("A13 of the dead", lambda bundle: unseen(declares()(bundle))),
    ],
)
def test_what_is_there_is_believed(code: str, change: Callable[[Bundle], Bundle]) -> None:
    assert code.split(maxsplit=1)[0] in check(change(planted(code))).totals


@pytest.mark.parametrize(
    "change",
    [unended, damaged("history-0"), manifest(status="interrupted"), manifest(settled=False)],
)
def test_a_count_that_lacks_an_order_may_still_come(change: Callable[[Bundle], Bundle]) -> None:
    assert "A17" in check(planted("A17 in the end")).totals
    assert "A17" not in check(change(planted("A17 in the end"))).totals


def reasons(world: World) -> dict[str, str]:
    world.end()
    return {entry.code: entry.reason for entry in check(world.bundle()).not_judged}


def plain() -> World:
    world = World()
    settled(world)
    return world


def test_a_run_in_which_nothing_was_acknowledged_says_nothing_of_single_orders() -> None:
    world = World()
    world.repeat(VICTIM, at_ms=100, status=401, outcome=Outcome.FAIL)
    assert "the URL or the secret" in reasons(world)["A6"]
    world = plain()
    world.repeat(VICTIM + 1, at_ms=100, status=401, outcome=Outcome.FAIL)
    assert "A6" not in reasons(world)
    assert check(world.bundle()).totals == {"A6": 1}


def test_a_run_without_a_calm_moment_says_nothing_of_refusals() -> None:
    world = plain()
    world.repeat(VICTIM, at_ms=2_030, copy=2)
    world.crash("f", "blind", at_ms=1_000, until=Stage.INJECT)
    assert reasons(world)["A6"] == "no delivery was made in a calm moment"
    assert "after it had been shipped" in reasons(world)["A7"]
    assert "after it had been shipped" in reasons(world)["A16"]


def test_a_shipment_of_any_shop_needs_all_shops_to_be_known() -> None:
    world = plain()
    world.end()
    assert "A1" not in {entry.code for entry in check(unended(world.bundle())).not_judged}
    world.ship(VICTIM, at_ms=2_050, shop="")
    assert check(world.bundle()).totals == {"A1": 1}
    assert "A1" in {entry.code for entry in check(unended(world.bundle())).not_judged}


def test_a_settled_order_must_have_been_asked_for_again() -> None:
    world = plain()
    world.deliver(VICTIM, at_ms=2_015, copy=2)  # sent half a millisecond later
    assert {"A7", "A16"} <= reasons(world).keys()
    world.deliver(VICTIM, at_ms=2_019.5, copy=3)
    assert not {"A7", "A16"} & reasons(world).keys()


def test_cancellations_must_have_taken_effect() -> None:
    world = plain()
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled", outcome=Outcome.INFO)
    assert reasons(world)["A10"] == "no orders/cancelled took effect"
    world.hold_state(VICTIM, status="cancelled")
    assert "A10" not in reasons(world)
    world = plain()
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    assert "A10" not in reasons(world)
    bundle = manifest(has_witness=False, ledger_queries=("stock",))(world.bundle())
    (entry,) = [one for one in check(bundle).not_judged if one.code == "A10"]
    assert entry.reason.startswith("neither a witness nor")


def test_cancellations_need_a_place_to_be_seen_in() -> None:
    world = plain()
    world.deliver(VICTIM, at_ms=2_040, topic="orders/cancelled")
    world.end()
    blind = manifest(has_witness=False)(world.bundle())
    assert "A10" not in {entry.code for entry in check(blind).not_judged}
    assert "A10" in {entry.code for entry in check(unseen(blind)).not_judged}


def test_a_harm_that_cannot_be_judged_makes_no_zombie() -> None:
    assert "A13" in check(planted("A13")).totals
    verdict = check(damaged("ledger")(planted("A13")))
    assert verdict.totals == {}
    assert "A13" not in {entry.code for entry in verdict.not_judged}


def test_the_stock_of_a_service_without_orders_is_compared_with_its_movements_alone() -> None:
    world = World(ledger_queries=("movements", "stock"))
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, status=None, rows=0, logs=0)
    world.ship(VICTIM, at_ms=2_020)
    world.leaked["ONCE-001"] = -2  # moved, and nothing is gone
    world.end()
    assert check(world.bundle()).totals == {"A8": 1}


def test_a_log_must_have_ids_of_the_traffic() -> None:
    world = World()
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM, logs=0, ids=("5f2d",))
    found = reasons(world)
    assert found["A9"] == "the webhook log never held an id of this traffic"
    assert found["A11"].startswith("no shipment has lines, and the webhook log never held")
    world.ship(VICTIM, at_ms=2_020, lines=())
    assert "A11" in reasons(world)
    world.ship(VICTIM, at_ms=2_020, lines=(Line(sku="a", quantity=1),))
    assert "A11" not in reasons(world)


def test_a_forged_delivery_must_have_met_the_lock() -> None:
    world = plain()
    assert reasons(world)["A15"] == "no forged delivery was sent"
    world.deliver(VICTIM, at_ms=2_040, authentic=False, outcome=Outcome.INFO, status=503)
    world.deliver(VICTIM, at_ms=2_040, copy=1, authentic=False, outcome=Outcome.INFO)
    assert "nobody was at work" in reasons(world)["A15"]
    world.deliver(VICTIM, at_ms=2_040, copy=2, authentic=False, outcome=Outcome.FAIL, status=400)
    assert "A15" not in reasons(world)


def test_a_transaction_must_have_outlived_its_replica() -> None:
    world = plain()
    assert reasons(world)["A13"].startswith("no transaction was committed after its replica")
    world.transact(VICTIM, replica="web-3", begin_ms=2_005, end_ms=2_090, end="ROLLBACK")
    world.connection_ends(at_ms=2_015, replica="web-3")
    assert "A13" in reasons(world)
    world.transact(VICTIM, replica="web-4", begin_ms=2_005, end_ms=2_090)
    world.connection_ends(at_ms=2_090, replica="web-4")  # at the instant of its COMMIT
    assert "A13" in reasons(world)
    world.crash("f", "blind", kind="freeze", replica="web-4", at_ms=2_050, until=Stage.INTENT)
    assert "A13" in reasons(world)
    world.connection_ends(at_ms=2_005, replica="web-4")
    assert "A13" not in reasons(world)
    bundle = manifest(has_witness=False, ledger_queries=())(world.bundle())
    (entry,) = [one for one in check(bundle).not_judged if one.code == "A13"]
    assert entry.reason.startswith("no harm could be seen")


def test_a_stuck_order_is_no_longer_unresolved() -> None:
    def doubts(*numbers: range) -> set[str]:
        world = clean_world(3)
        for copy, attempts in enumerate(numbers):
            world.repeat(VICTIM + copy, at_ms=2_000, attempts=attempts, status=503)
        world.end()
        return {doubt.cause for doubt in check(world.bundle()).doubts}

    assert doubts(range(1, 10)) == set()
    assert doubts(range(1, 9)) == {"unresolved-orders"}
    assert doubts(range(1, 10), range(1, 9)) == {"unresolved-orders"}


def test_the_shipment_of_an_older_order_is_a_doubt_and_no_anomaly() -> None:
    world = World()
    world.hold_state(VICTIM)
    world.look(at_ms=0)
    settled_order = VICTIM - 1
    world.settled_order(settled_order, at_ms=100)
    world.ship(VICTIM, at_ms=50)
    world.end()
    verdict = check(world.bundle())
    assert verdict.totals == {}
    assert [doubt.cause for doubt in verdict.doubts] == ["unexplained-effects"]
    assert str(VICTIM) in verdict.doubts[0].message


def test_a_log_that_is_not_declared_accuses_nobody() -> None:
    declared = ("orders", "fulfillments", "movements", "stock")
    assert check(planted("A11 in the log", ledger_queries=declared)).totals == {}


@pytest.mark.parametrize("change", [damaged("wire"), trace_full, manifest(has_wire=False)])
def test_a_trace_with_gaps_says_nothing_of_an_early_acknowledgement(
    change: Callable[[Bundle], Bundle],
) -> None:
    bundle = planted("A3 by the wire")
    assert set(check(bundle).totals) == {"A3"}
    assert check(change(bundle)).totals == {}


def test_a_commit_that_nobody_forwarded_is_none() -> None:
    bundle = planted("A3 by the wire")
    *others, commit = bundle.statements
    lost = msgspec.structs.replace(commit, forwarded_ns=None)
    assert check(replace(bundle, statements=(*others, lost))).totals == {}


def test_what_had_not_settled_may_still_have_come() -> None:
    bundle = manifest(settled=False)(planted("A2 by doing nothing"))
    (entry,) = [one for one in check(bundle).not_judged if one.code == "A2"]
    assert "had not settled" in entry.reason
