"""A map like any other, and small."""

import gc
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.number_map import MASK, NumberMap

near = st.integers(0, 300)  # meet in one bucket
numbers = st.one_of(near, st.integers(0, MASK), st.sampled_from([0, MASK, MASK - 64]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=60), st.lists(numbers, max_size=10))
def test_it_holds_what_a_dictionary_does(entries: list[tuple[int, int]], others: list[int]) -> None:
    found, plain = NumberMap(), dict[int, int]()
    for number, value in entries:
        assert found.get(number) == plain.get(number)
        assert found.setdefault(number, value) == plain.setdefault(number, value)
    for number in (*plain, *others):
        assert found.get(number) == plain.get(number)
        assert (number in found) == (number in plain)
    assert len(found) == len(plain)


def test_a_number_is_its_lowest_64_bits() -> None:
    found = NumberMap()
    assert found.setdefault(-1, 7) == 7
    assert found.get(MASK) == found.get(-1) == 7
    assert MASK + 1 not in found
    assert found.setdefault(1 << 70, 8) == found.get(0) == 8


def test_an_entry_is_small() -> None:
    entries = 20_000
    gc.collect()
    tracemalloc.start()
    try:
        found = NumberMap()
        for number in range(entries):
            found.setdefault(hash((number,)), number)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == entries
    assert kept / entries < 22
