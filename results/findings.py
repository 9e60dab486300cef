"""What is worth knowing about a service or a run although it breaks no promise.

A 5xx that a later attempt heals costs the sender a retry and may cost a subscription, but ships
nothing wrong; a hold that ended by itself changed the timing of a step; a provider that ignores
keys limits what any relay can do. None of these moves the verdict.
"""

from collections.abc import Iterator

from results.bundle import Bundle
from results.verdict import Finding


def find_findings(bundle: Bundle) -> tuple[Finding, ...]:
    """All findings of the run."""
    return tuple(_findings(bundle))


def _findings(bundle: Bundle) -> Iterator[Finding]:
    errors = bundle.figures.spurious_errors
    if errors:
        yield Finding(
            name="spurious-5xx",
            count=errors,
            message=f"{errors} deliveries of orders that were acknowledged in the end got a 5xx.",
        )
    if bundle.manifest.provider == "ignores":
        yield Finding(
            name="provider-ignores-keys",
            count=1,
            message="The provider ignores idempotency keys: with it no relay can be exactly-once "
            "across a crash between its call and its note of it.",
        )
    perturbed = sum(hold.perturbed for hold in bundle.holds)
    if perturbed:
        yield Finding(
            name="perturbed-holds",
            count=perturbed,
            message=f"{perturbed} of {len(bundle.holds)} holds ended by themselves: their steps "
            "were delayed, and nothing was proved by them.",
        )
    exits = bundle.manifest.environment.get("exits")
    if isinstance(exits, dict) and exits:
        yield Finding(
            name="own-exits",
            count=sum(exits.values()),
            message=f"{', '.join(sorted(exits))} ended by themselves {sum(exits.values())} times "
            "and were started again; their logs say why.",
        )
    below = {
        level.sku for snapshot in bundle.snapshots for level in snapshot.stock
        if level.remaining < 0
    }  # fmt: skip
    if below and bundle.declares("stock"):
        yield Finding(
            name="negative-stock",
            count=len(below),
            message=f"{len(below)} skus fell below zero: more was sold than there was.",
        )
