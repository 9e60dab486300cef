"""Order-statistic intervals against exact sums, known tables, a bootstrap and a simulation."""

import random
from fractions import Fraction
from math import comb

import pytest

from results.interval import Interval, interval, ranks

TAIL = Fraction(25, 1000)


def exact_ranks(count: int, share: Fraction) -> tuple[int | None, int | None]:
    """By the definition, in whole fractions: try every rank."""

    def at_most(below: int) -> Fraction:
        return sum(
            (comb(count, n) * share**n * (1 - share) ** (count - n) for n in range(below + 1)),
            Fraction(0),
        )

    lows = [rank for rank in range(1, count + 1) if at_most(rank - 1) <= TAIL]
    highs = [rank for rank in range(1, count + 1) if 1 - at_most(rank - 1) <= TAIL]
    return max(lows, default=None), min(highs, default=None)


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 17, 100, 140])
def test_ranks_agree_with_exact_sums(count: int, share: Fraction) -> None:
    assert ranks(count, float(share)) == exact_ranks(count, share)


def test_ranks_agree_with_published_tables() -> None:
    assert ranks(100, 0.5) == (40, 61)  # any table of the sign test
    assert ranks(5, 0.5) == (None, None)  # two of five values reach 93.75 % only
    assert ranks(6, 0.5) == (1, 6)
    assert ranks(367, 0.99)[1] is None
    assert ranks(368, 0.99)[1] == 368


def test_ranks_of_many_values_are_finite_and_enclose_the_percentile() -> None:
    low, high = ranks(100_000, 0.99)
    assert low is not None
    assert high is not None
    assert 98_900 < low < 99_000 < high < 99_100


def test_the_interval_of_a_median_agrees_with_a_bootstrap() -> None:
    chance = random.Random(7)
    values = sorted(chance.lognormvariate(2, 0.6) for _ in range(500))
    medians = sorted(sorted(chance.choices(values, k=500))[249] for _ in range(800))
    found = interval(values, 0.5)
    assert found.low_ms == pytest.approx(medians[20], rel=0.03)
    assert found.high_ms == pytest.approx(medians[779], rel=0.03)


@pytest.mark.parametrize(("share", "truth"), [(0.5, 0.6931), (0.9, 2.3026)])
def test_at_least_95_of_100_intervals_hold_the_truth(share: float, truth: float) -> None:
    chance = random.Random(11)
    held = 0
    for _ in range(600):
        found = interval(sorted(chance.expovariate(1) for _ in range(150)), share)
        assert found.low_ms is not None
        assert found.high_ms is not None
        held += found.low_ms <= truth <= found.high_ms
    assert 0.95 * 600 <= held < 0.99 * 600


def measured(low_ms: float | None, high_ms: float | None) -> Interval:
    return Interval(share=0.99, count=9, value_ms=5.0, low_ms=low_ms, high_ms=high_ms)


def test_an_interval_of_nothing_is_open_on_both_sides() -> None:
    assert interval([], 0.5) == Interval(
        share=0.5, count=0, value_ms=None, low_ms=None, high_ms=None
    )


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (measured(1, 2), measured(3, 4), True),
        (measured(3, 4), measured(1, 2), True),
        (measured(1, 2), measured(2, 4), False),  # they touch
        (measured(1, None), measured(3, 4), False),
        (measured(1, 2), measured(None, 4), False),
        (measured(None, 2), measured(3, None), True),
        (measured(None, None), measured(3, 4), False),
    ],
)
def test_only_closed_ends_can_be_apart(one: Interval, other: Interval, apart: bool) -> None:
    assert one.apart_from(other) is apart
