"""The story of one order says what the trace shows, and no more."""

import io
import itertools

import pytest
from msgspec.structs import replace
from race import (
    FIRST,
    ORDER,
    SECOND,
    at,
    bundle,
    calls,
    crash,
    deliveries,
    delivery,
    flight,
    handling,
    statements,
    verdict,
)
from rich.console import Console

from results.anomalies.catalogue import CATALOGUE
from results.card import Card, draw
from results.charts.counterexample import counterexample_figures
from results.narrative import CONTRADICTS
from results.records import ConnectionTrace, HoldTrace
from results.timeline import Kind, build_timeline, counterexamples
from results.transactions import describe, written_tables


def story(**changes):
    parts = {"deliveries": deliveries(), "statements": statements(), "calls": calls()}
    return build_timeline(ORDER, "duplicate-shipment", **(parts | changes))


def test_a_race_of_two_webhook_ids_has_the_lanes_of_those_who_took_part():
    timeline = story()
    assert timeline.lanes == ("sender", "web-0", "web-1", "Postgres", "witness")
    assert [step.number for step in timeline.steps] == list(range(1, len(timeline.steps) + 1))
    assert all(a.at_ns <= b.at_ns for a, b in itertools.pairwise(timeline.steps))


def test_session_noise_and_other_orders_are_left_out():
    texts = " ".join(f"{step.text} {step.sql}" for step in story().steps)
    assert "pg_advisory" not in texts
    assert "BEGIN" not in texts
    assert "web-2" not in story().lanes


def test_the_prose_names_both_replicas_both_ids_and_the_contradiction():
    prose = " ".join(story().prose)
    assert FIRST[:8] in prose and SECOND[:8] in prose
    assert "web-0 read orders at step 5" in prose
    assert "web-1 read orders at step 6" in prose
    assert "web-1's UPDATE orders (step 8) was answered only after web-0 ended" in prose
    assert "still wrote 1 row" in prose
    assert story().prose[-1].startswith("Hence 2 shipments of one order: contradiction with S1")


def test_handlings_one_after_the_other_claim_neither_a_wait_nor_an_unseen_read():
    first = [2, 2.4, 3, 3.2, 3.6, 4, 5, 5.5, 6.2, 7, 8, 8.5, 9, 9.6, 17, 18.4]
    later = [ms + 50 for ms in first]
    timeline = story(
        statements=[*handling("web-0", FIRST, first), *handling("web-1", SECOND, later)]
    )
    prose = " ".join(timeline.prose)
    assert "web-1 read orders" not in prose
    assert "was answered only after" not in prose
    assert not [step for step in timeline.steps if step.kind == Kind.WAIT]


def test_a_lock_wait_is_a_step_of_postgres_from_the_statement_to_its_answer():
    (wait,) = [step for step in story().steps if step.kind == Kind.WAIT]
    assert (wait.lane, wait.at_ns, wait.until_ns) == ("Postgres", at(6), at(18.7))


def test_a_crash_a_lost_connection_and_a_dropped_commit_are_told():
    lost = ConnectionTrace(
        replica="web-1",
        connection=1,
        backend_pid=1,
        event="client-eof",
        at_ns=at(22.8),
        state="T",
        in_flight=True,
    )
    traces = statements()
    dropped = [
        replace(item, forwarded_ns=None, replied_ns=None, returned_ns=None, tags=())
        if item.replica == "web-1" and item.sql == ("COMMIT",)
        else item
        for item in traces
    ]
    timeline = story(statements=dropped, faults=crash(), connections=[lost])
    crashes = [step.text for step in timeline.steps if step.kind == Kind.CRASH]
    assert crashes == ["✗ crash commit-dropped", "✗ connection lost in a transaction"]
    prose = " ".join(timeline.prose)
    assert "web-1's COMMIT (step" in prose and "never reached Postgres" in prose
    assert "each committed" not in prose


def test_a_commit_whose_answer_was_withheld_is_told_as_done():
    withheld = [
        replace(item, returned_ns=None, hold_id="h1")
        if item.replica == "web-1" and item.sql == ("COMMIT",)
        else item
        for item in statements()
    ]
    hold = HoldTrace(
        hold_id="h1",
        rule_id="r",
        replica="web-1",
        connection=1,
        backend_pid=1,
        point="reply",
        parked_ns=at(24),
        released_ns=at(60),
        release="drop",
        perturbed=False,
    )
    timeline = story(statements=withheld, holds=[hold])
    assert "web-1 never got the answer" in " ".join(timeline.prose)
    (held,) = [step for step in timeline.steps if step.kind == Kind.HOLD]
    assert held.text == "held reply for 36.0 ms, then drop"


def test_every_anomaly_of_the_catalogue_has_its_contradiction():
    assert {entry.name for entry in CATALOGUE.values()} == set(CONTRADICTS), "narrative.py"


def test_a_run_without_a_wire_still_has_a_story():
    timeline = story(statements=())
    assert timeline.lanes[0] == "sender"
    assert "contradiction with S1" in timeline.prose[-1]


def test_counterexamples_come_from_the_primary_anomalies_of_a_verdict():
    (timeline,) = counterexamples(bundle(swarm=5), verdict())
    assert (timeline.order_id, timeline.code) == (ORDER, "duplicate-shipment")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select 1 from orders o for update", "SELECT orders FOR UPDATE"),
        ("INSERT INTO orders VALUES ($1) ON CONFLICT (a) DO UPDATE SET x = 1",
         "INSERT orders ON CONFLICT"),
        ("WITH a AS (INSERT INTO b VALUES (1) RETURNING 1) UPDATE c SET d = 1",
         "INSERT b + UPDATE c"),
        ("SELECT id FROM fulfillment_requests FOR UPDATE SKIP LOCKED",
         "SELECT fulfillment_requests FOR UPDATE SKIP LOCKED"),
        ("WITH a AS (INSERT INTO b VALUES (1)), c AS (UPDATE d SET e = 1) DELETE FROM f",
         "INSERT b + 2 more writes"),
        ("  commit ", "COMMIT"),
        ("CALL pay($1)", "CALL pay($1)"),
    ],
)  # fmt: skip
def test_a_statement_is_shortened_to_verb_and_tables(sql, words):
    assert describe(sql) == words


def test_a_read_for_update_writes_no_table():
    assert written_tables(flight("w", 1, "SELECT 1 FROM orders FOR UPDATE", 0, 1)) == ()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_card_fits_its_terminal(width):
    out = io.StringIO()
    Console(file=out, width=width).print(Card(story()))
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    assert ("▒▒▒" in out.getvalue()) == (width >= 100)
    assert "contradiction with S1" in " ".join(out.getvalue().split())


def test_markup_of_rich_in_an_id_is_text():
    hostile = [replace(call, effect_id="[bold]x[/nope]") for call in calls()]
    out = io.StringIO()
    Console(file=out, width=120).print(Card(story(calls=hostile)))
    assert "[bold]x[/nope]" in "".join(out.getvalue().split())


def test_the_drawing_shades_the_wait_over_the_rows_of_the_other():
    (shade,) = draw(story()).shades
    assert shade.kind == "waits"
    assert shade.height > 100


def test_the_picture_has_the_steps_of_the_card_and_no_sql():
    figures = counterexample_figures(story(faults=crash()))
    card = draw(story(faults=crash()))
    assert figures.title == f"duplicate-shipment: order {ORDER}"
    assert figures.conclusion.startswith("Hence 2 shipments of one order")
    assert figures.drawing.marks == tuple(replace(mark, full="") for mark in card.marks)
    assert (figures.drawing.lanes, figures.drawing.shades) == (card.lanes, card.shades)
    assert figures.size == pytest.approx((card.width / 100, card.height / 100 + 0.75))


def test_a_picture_of_very_many_lanes_is_drawn_smaller():
    many = [delivery(f"w{n}", f"web-{n}", n, n + 1) for n in range(29)]
    traces = [
        flight(f"web-{n}", 1, "SELECT 1", n, n + 1, keys=(str(ORDER),), before="I", after="I")
        for n in range(29)
    ]
    width, height = counterexample_figures(story(deliveries=many, statements=traces)).size
    assert width == pytest.approx(24)
    assert height < 20


def test_one_tag_for_several_tables_claims_no_row_in_any_of_them():
    sql = (
        "WITH won AS (INSERT INTO fulfillment_requests VALUES ($1) ON CONFLICT DO NOTHING "
        "RETURNING 1) INSERT INTO shopify_webhook_log SELECT 1"
    )
    both = [
        flight(name, 1, sql, 3, 9, tag="INSERT 0 1", keys=(str(ORDER),), before="I", after="I")
        for name in ("web-0", "web-1")
    ]
    assert "each wrote to" not in " ".join(story(statements=both).prose)
