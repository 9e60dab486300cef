"""A1, duplicate-shipment: the provider really shipped one order more than once.

Counted are distinct effect ids that the witness stored; a repeated call that the provider
recognised by its key made no effect and is fine. Orders that the traffic never named count too:
the witness stands in for the provider, so every effect in it is this run's. Where two shops share
an order id and the service names no shop to its provider, each of them may have one shipment.
"""

from collections import defaultdict
from collections.abc import Iterator

from results.anomalies import needs
from results.anomalies.catalogue import anomaly
from results.bundle import Bundle
from results.verdict import Anomaly

CODE = "A1"


def cannot_judge(bundle: Bundle) -> str | None:
    """Needs the witness's file, damaged or not; and all shops, if a shipment names none."""
    named = all(call.shop for call in bundle.calls)
    return needs.first(needs.witness(bundle), None if named else needs.whole_history(bundle))


def find(bundle: Bundle) -> Iterator[Anomaly]:
    """One for each order with two distinct effects or more."""
    numbered: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for key, own in bundle.effects.items():
        numbered[key[1]] |= own
    for key, own in bundle.effects.items():
        owed = max(1, len(bundle.sharing(key)))
        # Those that name no shop, together with those of the same number that do.
        effects = own if key[0] else numbered[key[1]]
        if len(effects) <= owed:
            continue
        at = sorted(effects.values())
        apart_ms = (at[1] - at[0]) / 1e6
        shops = f"{owed} shops have an order of that number; " if owed > 1 else ""
        yield anomaly(
            CODE,
            key,
            f"Order {key[1]} was shipped {len(effects)} times "
            f"({', '.join(sorted(effects))}); {shops}the second shipment came {apart_ms:.1f} ms "
            "after the first.",
            at[owed],
        )
