"""What a run really exercised: the figures that turn "nothing was found" into a statement.

Zero anomalies mean little without the number of proven chances to go wrong. An *exposure* is a
group of duplicates whose handling overlapped at the wire, or a crash whose evidence is complete;
with none of n gone wrong, the 95 % upper bound on the rate is 3/n, for runs like this one only.
"""

from collections import Counter

from results.bundle import Bundle
from results.latency import percentile
from results.overlap import overlapping_groups
from results.records import FaultRecord, Stage
from results.transactions import Transaction, rows_written, transactions
from results.verdict import Coverage, FaultCount

AT_NO_POINT = ("blind", "polled")  # what such a crash hit is known afterwards only
LOSES_ACKNOWLEDGEMENT = ("reply-lost", "commit-after-death")


def cover(bundle: Bundle, stuck: int = 0) -> Coverage:
    """All figures of the coverage; orders that are known to be stuck are not unresolved."""
    history, figures = bundle.history, bundle.figures
    overlapping = overlapping_groups(bundle)
    faults = fault_counts(bundle)
    held = sorted((hold.released_ns - hold.parked_ns) / 1e6 for hold in bundle.holds)
    blind = [facts for point, facts in _evidenced(bundle, "crash") if point in AT_NO_POINT]
    crashes = sum(
        count.evidenced
        for name, count in faults.items()
        if name.startswith(("crash:", "oom:", "power-loss:"))
        and name.partition(":")[2] not in AT_NO_POINT
    )
    blind_in_transaction = sum(facts.get("landed_in_transaction") is True for facts in blind)
    exposures = len(overlapping) + crashes + blind_in_transaction
    return Coverage(
        orders=figures.orders,
        deliveries=figures.deliveries,
        retries=figures.retries,
        duplicate_groups=figures.duplicate_groups,
        sender_overlapping_groups=figures.sender_overlapping_groups,
        overlapping_groups=len(overlapping),
        faults=faults,
        hold_p50_ms=percentile(held, 0.50),
        hold_p99_ms=percentile(held, 0.99),
        holds=len(held),
        others_in_flight=_others_in_flight(bundle),
        blind_evidenced=len(blind),
        blind_in_transaction=blind_in_transaction,
        lost_acknowledgements=lost_acknowledgements(bundle),
        snapshots=len(bundle.snapshots),
        lateness_p50_ms=figures.lateness_p50_ms,
        lateness_p99_ms=figures.lateness_p99_ms,
        planned_orders=history.planned_orders,
        shed_orders=history.shed_orders,
        unresolved_orders=figures.unresolved_orders - stuck,
        effects=figures.effects,
        shipped_p50_ms=figures.shipped_p50_ms,
        shipped_p99_ms=figures.shipped_p99_ms,
        shipped_max_ms=figures.shipped_max_ms,
        exposures=exposures,
        bound=min(1.0, 3 / exposures) if exposures else None,
    )


def fault_counts(bundle: Bundle) -> dict[str, FaultCount]:
    """Per kind:point how many faults got how far. What was asked comes from the manifest too."""
    reached: dict[str, Counter[str]] = {name: Counter() for name in bundle.manifest.asked_faults}
    seen: set[tuple[str, Stage]] = set()
    for record in bundle.faults:
        proved = record.evidence is not None and record.evidence.complete
        if record.stage is Stage.EVIDENCE and not proved:
            continue
        if (record.fault_id, record.stage) not in seen:
            seen.add((record.fault_id, record.stage))
            reached.setdefault(fault_name(record), Counter())[record.stage] += 1
    return {
        name: FaultCount(
            asked=max(bundle.manifest.asked_faults.get(name, 0), count[Stage.ASKED]),
            parked=count[Stage.PARKED],
            fired=count[Stage.INJECT],
            evidenced=count[Stage.EVIDENCE],
            timeouts=count[Stage.MISSED],
        )
        for name, count in sorted(reached.items())
    }


def fault_name(record: FaultRecord) -> str:
    """`crash:commit-dropped`, `freeze:in-transaction`, …; the kind alone without a point."""
    return f"{record.kind}:{record.point}" if record.point else record.kind


def lost_acknowledgements(bundle: Bundle) -> int:
    """COMMITs of written rows that took effect while nobody heard so.

    Seen by the wire as an answer that was never given to the client; a crash with evidence at a
    point that loses the answer counts as well, but the two are the same event and not added.
    """
    withheld = sum(committed_unheard(one) for one in transactions(bundle.statements))
    crashed = sum(
        point in LOSES_ACKNOWLEDGEMENT and facts.get("wrote_table", "") is not None
        for point, facts in _evidenced(bundle, "crash", "oom")
    )
    return max(withheld, crashed)


def committed_unheard(transaction: Transaction) -> bool:
    """True if it committed rows, by the server's count, and its client never had the answer.

    `INSERT 0 0` wrote nothing; what is written beneath a SELECT is not in the count.
    """
    end = transaction.end
    if end is None or end.returned_ns is not None or not transaction.committed:
        return False
    return any(map(rows_written, transaction.flights))


def exposure_sentence(coverage: Coverage) -> str:
    """What "0 of n" allows, in one line for people."""
    what = "proven exposures (overlapping groups and evidenced crashes)"
    if coverage.bound is None:
        return f"No {what}: nothing is proved."
    return (
        f"0 anomalies in {coverage.exposures} {what}: for runs like this, at 95 % confidence "
        f"at most {coverage.bound:.2%} of them go wrong (3/n)."
    )


def _evidenced(bundle: Bundle, *kinds: str) -> list[tuple[str, dict[str, object]]]:
    """Point and facts of every fault of these kinds with complete evidence, each fault once."""
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for record in bundle.faults:
        if record.kind in kinds and record.stage is Stage.EVIDENCE:
            evidence = record.evidence
            if evidence is not None and evidence.complete:
                found.setdefault(record.fault_id, (record.point, evidence.facts))
    return list(found.values())


def _others_in_flight(bundle: Bundle) -> int:
    """Deliveries beside the aimed one on the victims, one figure a fault."""
    others: dict[str, int] = {}
    for record in bundle.faults:
        facts = {**record.detail, **(record.evidence.facts if record.evidence else {})}
        value = facts.get("others_in_flight")
        if isinstance(value, int):
            others[record.fault_id] = max(value, others.get(record.fault_id, 0))
    return sum(others.values())
