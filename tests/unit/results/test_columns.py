"""Columns hold what the lines say, note what the reader notes, and follow them when they change."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from results import checker
from results.bundle import Bundle
from results.checker import check, judge
from results.columns import convert as conversion
from results.columns.convert import convert, record_blocks
from results.columns.layout import TABLES, Codes, Columns
from results.errors import HarnessError
from results.records import Intent
from results.run_folder import HISTORY, RunFolder, read_records
from results.screen.judge import judge_columns
from results.screen.tables import Tables
from tests.unit.results.clean import clean_world
from tests.unit.results.planted import planted
from tests.unit.results.world import FIRST, ONE_LINE, World, write

CONTENT = (
    b'{"record":"generator-end","worker":0,"planned_orders":1,"sent_orders":1,'
    b'"shed_orders":0,"at_ns":1}'
)


@pytest.mark.parametrize(
    "content",
    [
        CONTENT + b"\n" + CONTENT,  # no end of line
        CONTENT + b"\n" + CONTENT[:20],  # torn
        CONTENT + CONTENT + b"\n" + CONTENT + b"\n",  # two on a line
        CONTENT.replace(b",", b",\n", 1) + b"\n",  # one on two lines
        CONTENT + b"\r\n\n \n" + CONTENT + b"\n",
        b"\xff\n" + CONTENT + b"\n",
        b'{"record":"of tomorrow"}\n' + CONTENT + b"\n",
        b"",
    ],
)
@pytest.mark.parametrize("block", [1, 30, 1_000])
def test_lines_are_read_and_noted_alike(
    content: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "BLOCK_BYTES", block)
    path = tmp_path / "history-0.jsonl"
    path.write_bytes(content)
    notes, blocks_notes = [], []
    records = read_records(path, HISTORY, notes)
    blocks = [one for found in record_blocks(path, HISTORY, blocks_notes) for one in found]
    assert (blocks, blocks_notes) == (records, notes)


def test_records_come_back_from_columns(tmp_path: Path) -> None:
    world = clean_world(5, orders=4)
    world.end()
    bundle = world.bundle()
    run = write(bundle, tmp_path)
    meta, columns = convert(run), Columns(run)
    rows = Tables(*(columns.shard(table, 0) for table in TABLES))

    def bare(one: Intent) -> Intent:
        return msgspec.structs.replace(one, event_id="", target="")

    sent = sorted(rows.intents(meta), key=lambda one: one.attempt_id)
    assert sent == sorted(map(bare, bundle.intents), key=lambda one: one.attempt_id)
    done = sorted(rows.completions(), key=lambda one: one.attempt_id)
    assert done == sorted(bundle.completions, key=lambda one: one.attempt_id)
    assert [one.effect_id for one in rows.provider_calls(meta)] == [
        one.effect_id for one in bundle.calls
    ]
    held = rows.order_states(meta)
    for look, snapshot in enumerate(bundle.snapshots):
        found = held.get(look, [])
        assert [(one.shop, one.order_id, one.status, one.movements, one.webhook_ids)
                for one in found] == [
            (one.shop, one.order_id, one.status, one.movements, one.webhook_ids)
            for one in snapshot.orders
        ]  # fmt: skip
        assert [len(one.fulfillments) for one in found] == [
            len(one.fulfillments) for one in snapshot.orders
        ]


def contradictory(bundle: Bundle) -> list[Bundle]:
    again = msgspec.structs.replace(bundle.completions[0], attempt_id="nobody's")
    return [
        replace(bundle, intents=(*bundle.intents, bundle.intents[0])),
        replace(bundle, completions=(*bundle.completions, bundle.completions[0])),
        replace(bundle, completions=(*bundle.completions, again)),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_history_that_contradicts_itself_is_judged_from_records(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "LARGE_BYTES", 1)
    run = write(contradictory(planted("A1"))[number], tmp_path)
    assert judge_columns(run) is None
    assert "contradictory-history" in {doubt.cause for doubt in judge(run).doubts}


def test_an_id_that_is_used_again_when_it_was_done_is_found(tmp_path: Path) -> None:
    run = write(planted("A1"), tmp_path)
    path = run.history(0)
    lines = path.read_bytes().splitlines(keepends=True)
    intent = next(line for line in lines if b'"intent"' in line)
    path.write_bytes(b"".join([*lines, intent]))
    assert convert(run).cannot == ""
    assert judge_columns(run) is None


def test_snapshots_out_of_order_are_judged_from_records(tmp_path: Path) -> None:
    bundle = planted("A1")
    run = write(replace(bundle, snapshots=bundle.snapshots[::-1]), tmp_path)
    assert judge_columns(run) is None


def test_columns_are_made_once_and_again_when_the_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "LARGE_BYTES", 1)
    run = write(planted("A1"), tmp_path)
    first = judge(run)
    meta = Columns(run).meta
    made_ns = meta.stat().st_mtime_ns
    assert judge(run) == first
    assert meta.stat().st_mtime_ns == made_ns
    run.witness.write_bytes(b"")
    assert set(judge(run).totals) != set(first.totals)
    assert judge(run, ["p99<1ms"]).slos[0].slo.words == "p99<1ms"
    assert not list(run.path.glob(".screen-*"))


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    run = write(planted("A1"), tmp_path)
    (run.path / "columns").write_bytes(b"in the way")
    with pytest.raises(HarnessError, match="Make room"):
        judge_columns(run)


def test_what_does_not_repeat_has_no_codes() -> None:
    codes = Codes(2, "a")
    assert (codes["a"], codes["b"], codes["b"]) == (0, 1, 1)
    with pytest.raises(OverflowError):
        codes["c"]


def test_numbers_beyond_64_bits_are_judged_from_records(tmp_path: Path) -> None:
    world = World()
    world.deliver(FIRST, at_ms=100)
    world.intents[0] = msgspec.structs.replace(world.intents[0], order_id=2**63)
    world.end()
    run = write(world.bundle(), tmp_path)
    assert judge_columns(run) is None
    assert check(run.load()).coverage.orders == 1


def test_an_order_without_a_number_is_judged_once_beside_the_stock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from results.screen import judge as screening

    monkeypatch.setattr(screening, "BATCH_ORDERS", 1)
    world = World(has_wire=False)
    world.settled_order(FIRST, at_ms=100)
    world.statements.clear()
    for number in range(3):
        world.ship(FIRST + 1 + number, at_ms=200)  # phantoms
    world.ship(0, at_ms=300, shop="", lines=ONE_LINE)
    world.ship(0, at_ms=301, shop="", lines=ONE_LINE)
    world.leaked["ONCE-001"] = 1
    world.end()
    run = write(world.bundle(), tmp_path)
    screened, plain = judge_columns(run), check(run.load())
    assert screened is not None
    assert screened.totals == plain.totals == {"A1": 1, "A4": 4, "A8": 1}


def test_a_run_that_has_columns_alone_is_large(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not checker.is_large(run)
    (tmp_path / "columns").mkdir()
    assert checker.is_large(run)
    run.history(0).write_bytes(b"x")
    assert not checker.is_large(run)
