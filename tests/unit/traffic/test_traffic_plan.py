"""The plan is a function of the seed, and workers share it without overlap."""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.schedule import EXTENSION_MAX, Schedule, SwarmOptions
from loadtests.traffic import LINE_MIX, NO_RUSH, PlannedOrder, Rush, plan_orders


def plan(
    seed: int = 3, worker: int = 0, workers: int = 1, orders: int = 400, rush: Rush = NO_RUSH
) -> list[PlannedOrder]:
    return list(
        plan_orders(
            seed=seed, orders=orders, per_second=50, copies=3, distinct_ids=True,
            worker=worker, workers=workers, rush=rush,
        )
    )  # fmt: skip


def options(**changes: object) -> SwarmOptions:
    given: dict[str, object] = {
        "orders": 5, "rate": 100.0, "copies": 2, "distinct_ids": True, "seed": 1, "retries": 8,
        "time_scale": 0.001, "webhook": "/paid", "create_webhook": "",
        "targets": (("a", "http://127.0.0.1:1"),), "secret": "hidden",
    }  # fmt: skip
    return SwarmOptions(**{**given, **changes})  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan() == plan()
    assert plan() != plan(seed=4)


def test_workers_share_all_orders_and_no_id_twice() -> None:
    shares = [plan(worker=worker, workers=3) for worker in range(3)]
    assert sum(map(len, shares)) == 400
    orders = [order for share in shares for order in share]
    assert len({order.order_id for order in orders}) == 400
    webhooks = [webhook.webhook_id for order in orders for webhook in order.webhooks]
    assert len(set(webhooks)) == len(webhooks) == 1200


def test_a_rush_hurries_the_first_seconds_and_changes_nothing_else() -> None:
    calm, hurried = plan(orders=4000), plan(orders=4000, rush=Rush(seconds=10, per_second=200))
    in_rush = [order for order in hurried if order.offset_seconds <= 10]
    after = [order for order in hurried if 10 < order.offset_seconds <= 20]
    assert len(in_rush) == pytest.approx(2000, rel=0.1)
    assert len(after) == pytest.approx(500, rel=0.15)
    same = [replace(order, offset_seconds=0) for order in hurried]
    assert same == [replace(order, offset_seconds=0) for order in calm]


def test_workers_share_a_rush() -> None:
    rush = Rush(seconds=10, per_second=200)
    shares = [plan(worker=worker, workers=2, orders=4000, rush=rush) for worker in range(2)]
    for share in shares:
        assert sum(one.offset_seconds <= 10 for one in share) == pytest.approx(1000, rel=0.15)


def test_order_ids_have_eighteen_digits_and_are_beyond_a_javascript_number() -> None:
    for order in plan(seed=987_654_321):
        assert len(str(order.order_id)) == 18
        assert str(order.order_id).startswith("91")
        assert 2**53 < order.order_id < 2**63


def test_arrivals_come_at_the_asked_rate_and_irregularly() -> None:
    offsets = [order.offset_seconds for order in plan(orders=4000)]
    gaps = [after - before for before, after in itertools.pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1 / 50, rel=0.1)
    assert deviation / mean == pytest.approx(1, abs=0.15)  # Poisson, not a metronome


def test_copies_share_one_id_or_have_their_own() -> None:
    same = next(plan_orders(seed=1, orders=1, per_second=1, copies=3, distinct_ids=False))
    assert len({webhook.webhook_id for webhook in same.webhooks}) == 1
    assert [webhook.copy for webhook in same.webhooks] == [0, 1, 2]


def test_baskets_hold_distinct_skus_and_no_more_than_the_mix_says() -> None:
    for order in plan():
        assert len({line.sku for line in order.lines}) == len(order.lines) <= LINE_MIX[-1][2]


def test_a_late_order_is_shed_and_counted_without_any_user() -> None:
    schedule = Schedule(options(), began_ns=time.monotonic_ns() - 60 * 10**9)
    schedule.shed_late()
    assert (schedule.sent, schedule.shed, schedule.exhausted) == (0, 5, True)
    assert schedule.take() is None


def test_each_order_is_taken_once() -> None:
    schedule = Schedule(options())
    taken = [schedule.take() for _ in range(6)]
    assert taken[5] is None
    assert len({first.order_id for first, _, _ in filter(None, taken)}) == 5
    assert schedule.sent == schedule.planned == 5


def test_traffic_goes_on_while_its_file_is_there_and_not_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "faults-open"
    file.touch()
    schedule = Schedule(options(extend_while=file))
    first = [schedule.take() for _ in range(7)]
    assert all(first)
    assert not schedule.exhausted
    file.unlink()
    rest = [schedule.take() for _ in range(2)]
    assert rest[1] is None  # one may have been drawn before
    assert schedule.exhausted
    assert schedule.planned == schedule.sent
    file.touch()
    endless = Schedule(options(extend_while=file))
    assert sum(endless.take() is not None for _ in range(100)) == 5 * EXTENSION_MAX
    short = [order.order_id for order, _, _ in filter(None, first)]
    assert short[:5] == [order.order_id for order in plan_orders_of(options())]


def plan_orders_of(given: SwarmOptions) -> list[PlannedOrder]:
    return list(plan_orders(seed=given.seed, orders=given.orders, per_second=given.rate,
                            copies=given.copies, distinct_ids=given.distinct_ids))  # fmt: skip


def test_a_stopped_schedule_gives_nothing_more() -> None:
    schedule = Schedule(options())
    schedule.take()
    schedule.stopped = True
    assert schedule.take() is None
    schedule.give_back()
    assert schedule.sent == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rate": 0.0}, "--rate"),
        ({"copies": 0}, "--copies"),
        ({"retries": 9}, "--attempts"),
        ({"orders": -1}, "--orders"),
        ({"time_scale": -1.0}, "--time-scale"),
        ({"targets": ()}, "--host"),
        ({"targets": (("a", "localhost:3000"),)}, "--targets"),
        ({"worker": 100}, "processes"),
    ],
)
def test_impossible_options_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        options(**change)


def test_the_secret_is_not_printed_with_the_options() -> None:
    assert "hidden" not in repr(options())
