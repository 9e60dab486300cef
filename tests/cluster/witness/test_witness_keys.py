"""The witness's memory of keys: a map like any other, and small."""

import gc
import tracemalloc
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.witness.keys import Keys
from cluster.witness.store import Store
from results.records import Line

numbers = st.integers(0, 2**64 - 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), numbers)))
def test_a_key_keeps_its_first_shipment(calls: list) -> None:  # type: ignore[type-arg]
    keys: Keys = Keys()
    plain: dict[str, int] = {}
    for key, shipment in calls:
        assert keys.get(key) == plain.get(key)
        keys.add(key, shipment)
        plain.setdefault(key, shipment)
    assert {key: keys.get(key) for key in plain} == plain


def test_a_thousand_keys_of_one_bucket_and_many_of_all() -> None:
    keys = Keys()
    for number in range(20_000):
        keys.add(f"key-{number}", number)
    assert [keys.get(f"key-{number}") for number in range(20_000)] == list(range(20_000))
    assert keys.get("key-20000") is None


def test_what_is_kept_of_an_effect_is_small(tmp_path: Path) -> None:
    store, effects = Store(tmp_path / "witness.jsonl", honours_keys=True), 10_000
    line = Line(sku="ONCE-001", quantity=2)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(effects):
            store.ship("shop", 910_000_000_000_000_000 + number, (line,), f"key-{number}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        store.close()
    assert kept / effects < 50
    assert len(store.effects(910_000_000_000_000_007)) == 1
