"""Overlap at the wire, fault counts, lost acknowledgements, the bound, and latencies."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from results.coverage import cover, exposure_sentence, lost_acknowledgements
from results.latency import percentile, series
from results.overlap import overlapping_groups
from results.records import HoldTrace, Outcome, Stage
from results.transactions import transactions
from tests.unit.results.clean import clean
from tests.unit.results.world import FIRST, START_NS, World, ns


def burst(*intervals: tuple[str, float, float]) -> World:
    """Two copies released at 100 ms, and transactions of (replica, begin, end) in ms."""
    world = World()
    world.deliver(FIRST, at_ms=100, copy=0)
    world.deliver(FIRST, at_ms=100, copy=1)
    for number, (replica, begin_ms, end_ms) in enumerate(intervals):
        world.transact(FIRST, replica=replica, begin_ms=begin_ms, end_ms=end_ms, connection=number)
    return world


@pytest.mark.parametrize(
    ("intervals", "overlapped"),
    [
        ((("web-1", 101, 105), ("web-2", 104, 109)), True),
        ((("web-1", 101, 105), ("web-1", 104, 109)), True),  # two connections of one pool
        ((("web-1", 101, 105), ("web-2", 106, 109)), False),
        ((("web-1", 101, 105), ("relay-1", 104, 109)), False),
        ((("web-1", 91, 98), ("web-2", 94, 99)), False),  # before the group was released
        ((("web-1", 101, 120), ("web-3", 130, 131), ("web-2", 119, 125)), True),
        ((), False),
    ],
)
def test_overlap_at_the_wire(
    intervals: tuple[tuple[str, float, float], ...], overlapped: bool
) -> None:
    assert bool(overlapping_groups(burst(*intervals).bundle())) is overlapped


def test_transactions_of_another_order_do_not_overlap_with_this_one() -> None:
    world = burst(("web-1", 101, 105))
    world.transact(FIRST + 1, replica="web-2", begin_ms=102, end_ms=104)
    assert overlapping_groups(world.bundle()) == set()


def test_copies_in_two_batches_of_several_orders_overlap() -> None:
    world = World()
    for order in (FIRST, FIRST + 1):
        for copy in range(2):
            world.deliver(order, at_ms=0, copy=copy)
    for copy in range(2):
        ids = [one.webhook_id for one in world.intents if one.copy == copy]
        keys = (*ids, str(FIRST), str(FIRST + 1))
        world.transact(FIRST, replica=f"web-{copy}", begin_ms=1 + copy, end_ms=9, keys=keys)
    assert len(overlapping_groups(world.bundle())) == 2
    without = [
        changed(one, keys=tuple(key for key in one.keys if key.isdigit()))
        for one in world.statements
    ]
    world.statements[:] = without  # whose deliveries they are nothing tells
    assert overlapping_groups(world.bundle()) == set()


def test_an_implicit_transaction_is_its_one_flight() -> None:
    world = World()
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9)
    alone = [changed(one, state_before="I", state_after="I") for one in world.statements]
    assert len(transactions(world.statements)) == 1
    assert len(transactions(alone)) == 3


def test_a_transaction_without_an_end_lasts_until_its_connection_does() -> None:
    world = World()
    for copy in range(2):
        world.deliver(FIRST, at_ms=0, copy=copy)
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9)
    world.statements.pop()
    world.transact(FIRST, replica="web-2", begin_ms=200, end_ms=209, connection=2)
    assert overlapping_groups(world.bundle()) == set()
    world.connection_ends(at_ms=0, replica="web-1", event="open")
    world.connection_ends(at_ms=500, replica="web-1", event="server-eof")
    world.connection_ends(at_ms=400, replica="web-1")
    assert len(overlapping_groups(world.bundle())) == 1


def test_what_overlaps_only_by_the_wires_own_delay_or_with_itself_does_not_count() -> None:
    world = World()
    for copy in range(2):
        world.deliver(FIRST, at_ms=0, copy=copy)
    webhooks = [one.webhook_id for one in world.intents]
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9, keys=(webhooks[0],))
    world.transact(FIRST, replica="web-1", begin_ms=2, end_ms=8, connection=2, keys=(webhooks[0],))
    assert overlapping_groups(world.bundle()) == set()  # one delivery on two connections
    world.transact(FIRST, replica="web-2", begin_ms=4, end_ms=20, connection=3, keys=(webhooks[1],))
    assert len(overlapping_groups(world.bundle())) == 1
    world.statements[-3:] = [
        changed(one, forwarded_ns=ns(12)) for one in world.statements[-3:]
    ]  # the wire held it until the first one had ended
    assert overlapping_groups(world.bundle()) == set()


def test_of_two_copies_under_one_id_each_connection_is_a_delivery() -> None:
    world = World()
    for copy in range(2):
        world.deliver(FIRST, at_ms=0, copy=copy, webhook="one-id")
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9, keys=("one-id",))
    assert overlapping_groups(world.bundle()) == set()
    world.transact(FIRST, replica="web-2", begin_ms=2, end_ms=8, keys=("one-id",))
    assert len(overlapping_groups(world.bundle())) == 1


def test_a_copy_and_its_own_retry_are_one_delivery() -> None:
    world = World()
    for copy in range(2):
        world.deliver(FIRST, at_ms=0, copy=copy)
    world.deliver(FIRST, at_ms=3, copy=0, attempt=2)
    own = world.intents[0].webhook_id
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9, keys=(own,))
    world.transact(FIRST, replica="web-2", begin_ms=4, end_ms=8, keys=(own,))
    assert overlapping_groups(world.bundle()) == set()


@pytest.mark.parametrize(
    ("forwarded", "overlapped"),
    [((None, None, None), False), ((None, 103, 105), True), ((None, 110, 111), False)],
)
def test_handling_begins_with_the_first_flight_that_reached_postgres(
    forwarded: tuple[float | None, ...], overlapped: bool
) -> None:
    world = burst(("web-1", 101, 105), ("web-2", 102, 112))
    world.statements[-3:] = [
        changed(one, forwarded_ns=None if at_ms is None else ns(at_ms))
        for one, at_ms in zip(world.statements[-3:], forwarded, strict=True)
    ]
    assert bool(overlapping_groups(world.bundle())) is overlapped


@pytest.mark.parametrize(
    ("received_ms", "forwarded_ms", "overlapped"),
    [(104, 107, True), (104, 104, False), (107, None, True), (104, None, False)],
)
def test_an_unanswered_end_lasts_to_the_last_that_is_known_of_it(
    received_ms: float, forwarded_ms: float | None, overlapped: bool
) -> None:
    """Web-2 begins at 106 ms, and of the end of web-1's transaction only that much is known."""
    world = burst(("web-1", 101, 105), ("web-2", 106, 109))
    world.statements[2] = changed(
        world.statements[2], replied_ns=None, returned_ns=None, state_after=None,
        received_ns=ns(received_ms), forwarded_ns=ns(forwarded_ms) if forwarded_ms else None,
    )  # fmt: skip
    assert bool(overlapping_groups(world.bundle())) is overlapped


def test_a_transaction_with_an_end_outlives_it_by_nothing() -> None:
    world = burst(("web-1", 101, 105), ("web-2", 106, 109))
    world.connection_ends(at_ms=400, replica="web-1", connection=0)
    assert overlapping_groups(world.bundle()) == set()


def test_copies_overlap_for_the_sender_if_both_were_sent_and_answered() -> None:
    for second, overlapped in ((Outcome.OK, 1), (Outcome.FAIL, 0), (None, 0)):
        world = World()
        world.deliver(FIRST, at_ms=100, copy=0)
        world.deliver(FIRST, at_ms=100, copy=1, outcome=second)
        assert cover(world.bundle()).sender_overlapping_groups == overlapped


def test_a_copy_does_not_overlap_with_itself() -> None:
    world = World()
    for webhook in ("one", "other"):
        world.deliver(FIRST, at_ms=100, copy=0, webhook=webhook)
    world.deliver(FIRST, at_ms=200, copy=1)
    assert cover(world.bundle()).sender_overlapping_groups == 0


def test_duplicates_that_were_not_sent_together_do_not_overlap() -> None:
    world = World()
    for copy in range(2):
        world.deliver(FIRST, at_ms=500 * copy, copy=copy)
    world.transact(FIRST, replica="web-1", begin_ms=501, end_ms=506)
    world.transact(FIRST, replica="web-2", begin_ms=502, end_ms=507, connection=2)
    assert overlapping_groups(world.bundle()) == set()


def test_fault_counts_tell_how_far_each_fault_got() -> None:
    world = World(asked_faults={"crash:reply-lost": 4, "freeze:in-transaction": 1})
    world.crash("a", "reply-lost", at_ms=1)
    world.crash("b", "reply-lost", at_ms=2, until=Stage.INJECT)
    world.crash("c", "reply-lost", at_ms=3, until=Stage.EVIDENCE, missing=("exit_signal",))
    world.crash("d", "blind", at_ms=4, landed_in_transaction=True)
    world.crash("e", "blind", at_ms=5, landed_in_transaction=False)
    world.crash("f", "blind", at_ms=6, landed_in_transaction=False)
    world.faults += world.faults  # a record that stands there twice is one
    coverage = cover(world.bundle())
    lost, blind = coverage.faults["crash:reply-lost"], coverage.faults["crash:blind"]
    assert (lost.asked, lost.parked, lost.fired, lost.evidenced) == (4, 3, 3, 1)
    assert (blind.asked, blind.evidenced) == (3, 3)
    assert coverage.faults["freeze:in-transaction"].asked == 1
    assert (coverage.blind_in_transaction, coverage.blind_evidenced) == (1, 3)
    assert coverage.blind_share == pytest.approx(1 / 3)
    assert coverage.others_in_flight == 12
    assert coverage.lost_acknowledgements == 1
    assert coverage.exposures == 2  # a kill that hit nothing exposed nothing
    assert coverage.bound == 1.0


def test_only_what_kills_exposes() -> None:
    world = World()
    world.crash("a", "in-transaction", at_ms=1, kind="freeze")
    assert cover(world.bundle()).exposures == 0


def test_only_evidence_is_evidence() -> None:
    world = World()
    world.crash("a", "reply-lost", at_ms=1)
    proved = next(one for one in world.faults if one.stage is Stage.EVIDENCE)
    for empty in (changed(proved, evidence=None), changed(proved, stage=Stage.INJECT)):
        found = cover(replace(World().bundle(), faults=(empty,)))
        assert (found.exposures, found.lost_acknowledgements) == (0, 0)


def test_an_oom_kill_counts_as_a_crash_but_not_among_the_blind_ones() -> None:
    world = World(asked_faults={"oom:reply-lost": 1})
    world.crash("a", "reply-lost", at_ms=1, kind="oom")
    world.crash("b", "blind", at_ms=2, kind="oom")
    world.crash("c", "reply-lost", at_ms=3, kind="oom", missing=("oom kill",))
    coverage = cover(world.bundle())
    assert (coverage.exposures, coverage.lost_acknowledgements) == (1, 1)
    assert coverage.blind_evidenced == 0


def test_a_commit_whose_answer_was_withheld_is_a_lost_acknowledgement() -> None:
    world = World()
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9)
    world.statements[-1] = changed(world.statements[-1], returned_ns=None)
    world.transact(FIRST, replica="web-2", begin_ms=1, end_ms=9)
    assert cover(world.bundle()).lost_acknowledgements == 1
    rolled_back = [changed(one, tags=("ROLLBACK",)) for one in world.statements]
    assert cover(replace(world.bundle(), statements=tuple(rolled_back))).lost_acknowledgements == 0


def test_the_time_to_exactly_once_is_from_the_first_payment_to_the_first_shipment() -> None:
    world = World()
    for number in range(3):
        world.deliver(FIRST + number, at_ms=0, copy=0, late_ms=5)
        world.deliver(FIRST + number, at_ms=50, copy=1)
        world.ship(FIRST + number, at_ms=100 * (number + 1))
        world.ship(FIRST + number, at_ms=900)
    world.deliver(FIRST + 9, at_ms=0)
    found = cover(world.bundle())
    assert (found.shipped_p50_ms, found.shipped_p99_ms, found.shipped_max_ms) == (200, 300, 300)


def test_lateness_is_the_senders_own_and_that_of_payments() -> None:
    world = World()
    world.deliver(FIRST, at_ms=0, late_ms=300)
    world.intents[-1] = changed(world.intents[-1], waited_ns=ns(290) - ns(0))
    for number in range(9):
        world.deliver(FIRST + number, at_ms=1, topic="orders/create", late_ms=0)
    coverage = cover(world.bundle())
    assert (coverage.lateness_p50_ms, coverage.lateness_p99_ms) == (10.0, 10.0)


@pytest.mark.parametrize(("tag", "lost"), [("INSERT 0 1", 1), ("INSERT 0 0", 0), ("SELECT 1", 0)])
@pytest.mark.parametrize("alone", [False, True], ids=["block", "autocommit"])
def test_an_answer_that_was_lost_counts_only_if_rows_were_written(
    tag: str, lost: int, alone: bool
) -> None:
    world = World()
    world.transact(FIRST, replica="web-1", begin_ms=1, end_ms=9, tag=tag)
    begin, insert, commit = world.statements
    unheard = changed(commit, returned_ns=None)
    statements = (
        (changed(insert, state_before="I", state_after="I", returned_ns=None),)
        if alone
        else (begin, insert, unheard)
    )
    assert lost_acknowledgements(replace(world.bundle(), statements=statements)) == lost


@pytest.mark.parametrize(("table", "lost"), [("public.orders", 1), (None, 0)])
def test_a_crash_whose_commit_left_no_row_lost_no_acknowledgement(
    table: str | None, lost: int
) -> None:
    world = World()
    world.crash("a", "commit-after-death", at_ms=1, wrote_table=table)
    assert lost_acknowledgements(world.bundle()) == lost


def test_holds_lateness_and_unresolved_orders_are_measured() -> None:
    world = World()
    for number in range(100):
        world.deliver(FIRST + number, at_ms=number, late_ms=number + 1, took_ms=200)
    world.deliver(FIRST, at_ms=300, attempt=2, late_ms=9_000, took_ms=9_100)
    world.deliver(FIRST + 500, at_ms=5, outcome=Outcome.INFO, status=None)
    world.deliver(FIRST + 501, at_ms=5, outcome=Outcome.FAIL)
    world.holds.append(HoldTrace(hold_id="h", rule_id="r", replica="web-1", connection=1,
                                 backend_pid=1, point="reply", parked_ns=ns(1), released_ns=ns(31),
                                 release="pass", perturbed=False))  # fmt: skip
    coverage = cover(world.bundle())
    assert coverage.lateness_p99_ms == pytest.approx(99.0)
    assert coverage.unresolved_orders == 2  # refused to the end is not resolved either
    assert coverage.retries == 1
    assert (coverage.holds, coverage.hold_p50_ms) == (1, 30.0)


def test_the_sentence_gives_the_bound_and_says_for_runs_like_this() -> None:
    coverage = cover(clean(1))
    assert coverage.bound == min(1.0, 3 / coverage.exposures)
    assert "for runs like this" in exposure_sentence(coverage)
    assert "nothing is proved" in exposure_sentence(cover(World().bundle()))


def test_latency_is_measured_from_the_intended_time() -> None:
    world = World()
    world.deliver(FIRST, at_ms=0, late_ms=400, took_ms=500)
    world.deliver(FIRST, at_ms=1_200, copy=1, took_ms=100)
    world.deliver(FIRST, at_ms=1_300, copy=2, outcome=Outcome.INFO, status=503)
    deliveries = world.bundle().history.deliveries
    latency = world.bundle().figures.latency
    assert (latency.ok, latency.info, latency.fail) == (2, 1, 0)
    assert (latency.p50_ms, latency.max_ms) == (100.0, 500.0)
    first, second = series(deliveries, START_NS)
    assert (first.second, first.arrivals, first.p50_ms) == (0, 1, 500.0)
    assert (second.second, second.arrivals, second.info) == (1, 2, 1)


def test_percentiles_are_exact() -> None:
    assert percentile([], 0.5) is None
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
