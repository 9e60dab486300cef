"""Which orders changed from one look at the ledger to the next, told without keeping their rows."""

import gc
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.order_digests import Order, OrderDigests

values = st.sampled_from([None, "None", True, False, -1, -2, 1, 0, "a", "b"])
row = st.tuples(
    st.sampled_from(["s", "a:1", ""]),
    st.sampled_from([1, -1, -2, 10**30]),
    st.tuples(values, values),
)
look = st.lists(row, max_size=12)


def read(digests: OrderDigests, rows: Iterable[tuple[str, int, tuple[object, ...]]]) -> set[Order]:
    digests.begin()
    for shop, order_id, told in rows:
        digests.add((shop, order_id), told)
    return digests.changed()


def by_order(rows: list[tuple[str, int, tuple[object, ...]]]) -> dict[Order, Counter[str]]:
    found: defaultdict[Order, Counter[str]] = defaultdict(Counter)
    for shop, order_id, told in rows:
        found[shop, order_id][repr(told)] += 1
    return dict(found)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(look, st.booleans(), st.randoms()), max_size=6))
def test_an_order_has_changed_if_and_only_if_its_rows_have(looks: list) -> None:  # type: ignore[type-arg]
    digests = OrderDigests()
    last: dict[Order, Counter[str]] = {}
    for rows, kept, shuffler in looks:
        now = by_order(rows)
        shuffler.shuffle(rows)
        assert read(digests, rows) == {
            order for order in last.keys() | now.keys() if last.get(order) != now.get(order)
        }
        if kept:  # one that failed half way is not
            digests.keep()
            last = now


def test_what_is_kept_of_an_order_is_small() -> None:
    digests, orders = OrderDigests(), 20_000
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            rows = (
                ("shop", 910_000_000_000_000_000 + number // 4, (number % 4, "x" * 200))
                for number in range(4 * orders)
            )
            changed = len(read(digests, rows))
            digests.keep()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert changed == 0
    assert kept / orders < 120
