"""A run judged from its columns gets the very verdict that its records give."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.bundle import Bundle
from results.checker import check
from results.columns import convert as conversion
from results.columns.layout import Columns
from results.records import Outcome
from results.run_folder import RunFolder
from results.screen import judge as screening
from results.screen.facts import Facts
from results.screen.judge import frame_of, judge_columns
from results.screen.shard import screen
from results.verdict import Verdict
from tests.store_run import STORED, unpack
from tests.unit.results import innocent_ledger, innocent_sender, innocent_wire
from tests.unit.results.chaotic import chaotic
from tests.unit.results.clean import clean, clean_world
from tests.unit.results.innocent import INNOCENT
from tests.unit.results.planted import DECLARED, NEIGHBOUR, VICTIM, planted
from tests.unit.results.world import COUNTED, ONE_LINE, OTHER_SHOP, SHOP, World, write

FILES = (innocent_ledger, innocent_sender, innocent_wire)


def blind(bundle: Bundle) -> Bundle:
    """Without the wire, which makes a suspect of every order that it names."""
    manifest = msgspec.structs.replace(bundle.manifest, has_wire=False)
    return replace(bundle, manifest=manifest, statements=())


def same(folder: RunFolder) -> Verdict:
    """Judge it in both ways; the verdict of the columns."""
    plain = check(folder.load())
    screened = judge_columns(folder)
    assert screened is not None
    assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    return screened


def suspects_of(folder: RunFolder) -> set[int]:
    """The orders that the screen passes on to the judges."""
    columns = Columns(folder)
    meta = columns.read_meta() or conversion.convert(folder)
    facts = Facts(columns, meta, frame_of(folder, meta))
    return {order for shard in range(meta.shards) for order in screen(facts, shard).suspects}


def other_shops(world: World) -> None:
    """Shipped under the name of a shop that sent nothing: a phantom of it, and lost for ours."""
    world.deliver(VICTIM, at_ms=2_000)
    world.hold_state(VICTIM)
    world.ship(VICTIM, at_ms=2_020, shop=OTHER_SHOP, lines=ONE_LINE)


def unsent(world: World) -> None:
    """Shipped, and in the ledger, and nobody ever sent it."""
    world.hold_state(VICTIM, logs=0)
    world.ship(VICTIM, at_ms=2_020, lines=ONE_LINE)


def three_copies(world: World) -> None:
    """Bursts of three, in turn or two together; one copy never sent, one unanswered."""
    for number, begins in enumerate(((0, 10, 20), (0, 10, 15), (0, 9, 9), (0, 5, 5.1))):
        order, at_ms = VICTIM + number, 2_000 + 100 * number
        for copy, later_ms in enumerate(begins):
            world.deliver(order, at_ms=at_ms + later_ms, copy=copy, took_ms=9.5)
        world.hold_state(order)
        world.ship(order, at_ms=at_ms + 50)
    world.deliver(VICTIM, at_ms=2_000, copy=3, outcome=None)
    world.deliver(VICTIM, at_ms=2_000, copy=4, outcome=Outcome.FAIL)


def same_copy_twice(world: World) -> None:
    """A group in which one copy stands twice, under two ids: its overlap is nobody's."""
    for webhook in ("a", "b"):
        world.deliver(VICTIM, at_ms=2_000, webhook=webhook)
    world.deliver(VICTIM, at_ms=2_100, copy=1)
    world.hold_state(VICTIM, ids=("a",))
    world.ship(VICTIM, at_ms=2_020)


def of_older_days(world: World) -> None:
    """Paid in the ledger, and not of this traffic; half of it is of two shops."""
    for shop in (SHOP, OTHER_SHOP):
        world.hold_state(VICTIM, shop=shop, logs=0, ids=("old",))
    world.hold_state(NEIGHBOUR, logs=0, movements=(*ONE_LINE, *ONE_LINE))
    world.look(at_ms=3_000)
    world.hold_state(VICTIM, shop=OTHER_SHOP, status="cancelled")


def ids_of_its_own(world: World) -> None:
    """The service logs other ids than those that it was sent."""
    for key, state in world.states.items():
        world.states[key] = msgspec.structs.replace(state, webhook_ids=("x", "y"))


def forged_in_an_outage(world: World) -> None:
    """Forged deliveries that nobody was there to refuse, one of them not even sent."""
    world.settled_order(VICTIM, at_ms=2_000)
    for copy, status in enumerate((502, 302, None)):
        outcome = Outcome.INFO if status else Outcome.FAIL
        world.deliver(VICTIM, at_ms=2_050, copy=copy, authentic=False, outcome=outcome,
                      status=status)  # fmt: skip


def far_too_early(world: World) -> None:
    """The first delivery of all is of an order that nobody suspects; an older one was shipped."""
    world.hold_state(VICTIM)
    world.look(at_ms=40)
    world.snapshots.sort(key=lambda one: one.begun_ns)
    world.ship(VICTIM, at_ms=60, lines=ONE_LINE)
    world.settled_order(NEIGHBOUR, at_ms=45)


def moved_after_its_end(world: World) -> None:
    """Cancelled, and then taken from the stock twice."""
    world.settled_order(VICTIM, at_ms=2_000)
    world.deliver(VICTIM, at_ms=2_050, topic="orders/cancelled")
    world.look(at_ms=2_100)
    world.hold_state(VICTIM, status="cancelled", movements=ONE_LINE * 2)
    world.look(at_ms=2_200)


SPECIAL = (moved_after_its_end, other_shops, unsent, three_copies, same_copy_twice,
           of_older_days, ids_of_its_own, forged_in_an_outage, far_too_early)  # fmt: skip


def special(change: Callable[[World], None]) -> Bundle:
    """A run with one of these in it, without the wire."""
    world = clean_world(3)
    change(world)
    world.end()
    return blind(world.bundle())


def unjudged() -> list[Bundle]:
    """One refusal by a sender that never repeats; clean runs that lack what a judge needs."""
    manifest, bundle = msgspec.structs.replace, blind(clean(3))
    looks = tuple(manifest(one, orders=(), stock=()) for one in bundle.snapshots)
    counted = manifest(bundle.manifest, ledger_queries=COUNTED)
    refused = World(attempts=1)
    refused.settled_order(VICTIM, at_ms=2_000)
    refused.deliver(VICTIM, at_ms=2_050, copy=2, outcome=Outcome.INFO, status=500)
    refused.deliver(NEIGHBOUR, at_ms=3_000)
    refused.hold_state(NEIGHBOUR)
    refused.ship(NEIGHBOUR, at_ms=3_020, shop="", lines=ONE_LINE)  # to a provider without shops
    refused.end()
    return [
        blind(refused.bundle()),
        replace(bundle, manifest=manifest(bundle.manifest, has_witness=False), calls=()),
        replace(bundle, calls=(), generator_ends=()),
        replace(bundle, snapshots=looks, generator_ends=()),
        replace(bundle, manifest=manifest(counted, status="interrupted")),
        replace(bundle, manifest=manifest(bundle.manifest, ledger_queries=("stock",)),
                snapshots=looks),
    ]  # fmt: skip


def sorted_out(verdict: Verdict) -> object:
    """What of a verdict does not depend on which of two anomalies of one instant is first."""
    found = msgspec.to_builtins(verdict)
    found["anomalies"] = sorted(found["anomalies"], key=repr)
    return found


@pytest.fixture(params=["whole", "shards"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as one shard, once as several."""
    if request.param == "shards":
        monkeypatch.setattr(conversion, "SHARD_DELIVERIES", 5)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("name", DECLARED)
def test_a_planted_anomaly_is_found_in_columns(name: str, tmp_path: Path) -> None:
    assert set(same(write(planted(name), tmp_path)).totals) == DECLARED[name]
    same(write(blind(planted(name)), tmp_path))


@pytest.mark.parametrize("name", DECLARED)
def test_nobody_is_suspected_beside_those_who_were_wronged(name: str, tmp_path: Path) -> None:
    assert suspects_of(write(blind(planted(name)), tmp_path)) <= {VICTIM, NEIGHBOUR}


def test_the_older_order_of_an_early_snapshot_is_a_doubt(tmp_path: Path) -> None:
    verdict = same(write(special(far_too_early), tmp_path))
    assert "unexplained-effects" in {doubt.cause for doubt in verdict.doubts}


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("change", SPECIAL)
def test_what_columns_may_get_wrong_is_judged_alike(
    change: Callable[[World], None], tmp_path: Path
) -> None:
    same(write(special(change), tmp_path))


@pytest.mark.parametrize("number", range(6))
def test_what_is_not_judged_makes_no_suspects(number: int, tmp_path: Path) -> None:
    run = write(unjudged()[number], tmp_path)
    if not run.read_manifest().has_witness:
        run.witness.unlink()
    same(run)
    assert suspects_of(run) == set()


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_suspected_in_clean_histories(seed: int, tmp_path: Path) -> None:
    assert suspects_of(write(blind(clean(seed)), tmp_path)) == set()


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("name", INNOCENT)
def test_the_closest_innocent_histories_are_silent_in_columns(name: str, tmp_path: Path) -> None:
    world = clean_world(3)
    INNOCENT[name].change(world)
    world.end()
    assert set(same(write(world.bundle(), tmp_path)).totals) == INNOCENT[name].beside
    same(write(blind(world.bundle()), tmp_path))


ANY = settings(max_examples=int(os.environ.get("ONCEPROOF_HISTORIES", "40")), deadline=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
SEEDS = st.integers(min_value=0, max_value=10**9)


@ANY
@given(SEEDS)
def test_any_history_is_judged_in_columns_as_it_is_in_records(tmp_path: Path, seed: int) -> None:
    same(write(blind(chaotic(seed)), tmp_path))


@ANY
@given(SEEDS)
def test_any_trace_is_judged_in_columns_as_it_is_in_records(tmp_path: Path, seed: int) -> None:
    same(write(chaotic(seed), tmp_path))


@ANY
@given(SEEDS)
def test_shards_and_batches_change_nothing(tmp_path: Path, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "SHARD_DELIVERIES", 4)
        patch.setattr(screening, "BATCH_ORDERS", 1)
        bundle = chaotic(seed)
        folder = write(bundle if seed % 2 else blind(bundle), tmp_path)
        screened = judge_columns(folder)
        assert screened is not None
        assert sorted_out(screened) == sorted_out(check(folder.load()))


@ANY
@given(SEEDS)
def test_clean_histories_are_valid_in_columns(tmp_path: Path, seed: int) -> None:
    assert same(write(clean(seed), tmp_path)).validity == "valid"
    same(write(blind(clean(seed)), tmp_path))


@ANY
@given(SEEDS)
def test_files_that_were_cut_or_garbled_are_judged_alike(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = write(blind(chaotic(seed)), tmp_path)
    for path in (folder.history(0), folder.witness, folder.ledger):
        content = path.read_bytes()
        if not content or chance.random() < 0.4:
            continue
        at = chance.randrange(len(content))
        match chance.randrange(3):
            case 0:
                path.write_bytes(content[:at])  # killed while it wrote
            case 1:
                path.write_bytes(content[:at] + b"\x00\n" + content[at:])
            case 2:
                at = content.rfind(b"\n", 0, at) + 1
                path.write_bytes(content[:at] + b"\n\n{}\r\n" + content[at:])
    plain, screened = check(folder.load()), judge_columns(folder)
    if screened is not None:  # None: it contradicts itself
        assert msgspec.to_builtins(screened) == msgspec.to_builtins(plain)
    else:
        assert "contradictory-history" in {doubt.cause for doubt in plain.doubts}


@pytest.mark.parametrize("name", sorted(path.name for path in STORED.iterdir() if path.is_dir()))
def test_a_stored_run_is_judged_alike(name: str, tmp_path: Path) -> None:
    same(unpack(STORED / name, tmp_path / "run"))
