"""A1, duplicate-shipment: the provider really shipped one order more than once.

Counted are distinct effect ids that the witness stored; a repeated call that the provider
recognised by its key made no effect and is fine. Orders that the traffic never named count too:
the witness stands in for the provider, so every effect in it is this run's.
"""

from collections.abc import Iterator

from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.verdict import Anomaly

CODE = "A1"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness's file; a damaged one can only hide effects, never add some."""
    if not bundle.manifest.has_witness or not bundle.has_witness_file:
        return "no witness recorded what was shipped"
    return None


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order with two distinct effects or more."""
    for key, effects in bundle.effects.items():
        if len(effects) < 2:
            continue
        at = sorted(effects.values())
        apart_ms = (at[1] - at[0]) / 1e6
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was shipped {len(effects)} times "
            f"({', '.join(sorted(effects))}); the second shipment came {apart_ms:.1f} ms after "
            "the first.",
            at[1],
        )
