"""Every reason why a run without anomalies must not be called valid, each with its knob.

A run that proved nothing is unknown, never green. The thresholds are the scenario's own; what
they do not cover (no traffic, a lost controller, a torn file, a contradiction in the records) is
a doubt always.
"""

from collections.abc import Iterator
from itertools import pairwise

from results.bundle import Bundle
from results.causes import Cause, cause
from results.coverage import fault_name
from results.ledger import COUNT_PREFIX
from results.records import Stage
from results.verdict import Coverage, Doubt

EXAMPLES_MAX = 3
SNAPSHOT_GAP_SECONDS = 6.0  # an outage that a scenario makes is shorter
SNAPSHOT_GAP_SHARE = 0.01  # of the traffic, in runs so long that the ledger takes time to read


def find_doubts(bundle: Bundle, coverage: Coverage) -> tuple[Doubt, ...]:
    """All doubts: of the run's end, its inputs, its traffic, its exposure and its faults."""
    return (
        *_ended(bundle),
        *_inputs(bundle),
        *_traffic(bundle, coverage),
        *_exposure(bundle, coverage),
        *_faults(bundle, coverage),
    )


def _ended(bundle: Bundle) -> Iterator[Doubt]:
    manifest = bundle.manifest
    if manifest.controller_lost:
        yield Doubt(
            cause="controller-lost",
            message=f"The run lost a part of its stand: {manifest.controller_lost}.",
            knob="Run again; if it persists, lower the rate or look into logs/.",
        )
    missing_ends = bundle.history_files - len(bundle.generator_ends)
    if manifest.status != "finished" or missing_ends > 0:
        what = (
            f"its status is {manifest.status!r}"
            if manifest.status != "finished"
            else f"{missing_ends} of {bundle.history_files} senders never reported their end"
        )
        yield Doubt(
            cause="cut-short",
            message=f"The run was cut short: {what}.",
            knob="Run it again to its end; `onceproof heal` removes what it left behind.",
        )
    if not manifest.settled:
        yield Doubt(
            cause="not-settled",
            message="Something still moved when the run's patience ended: work that was not done "
            "then may have been done a moment later.",
            knob="Raise settle_seconds, or see what the end of ledger.jsonl has as unsent.",
        )
    if manifest.ledger_queries and not bundle.ledger.has_final:
        yield Doubt(
            cause="final-snapshot-missing",
            message="The last look at the ledger, after everything settled, is missing.",
            knob="Run again; raise settle_seconds if the database was too busy to be read.",
        )


def _inputs(bundle: Bundle) -> Iterator[Doubt]:
    manifest = bundle.manifest
    counted = any(name.startswith(COUNT_PREFIX) for name in manifest.ledger_queries)
    if not manifest.has_witness and not counted:
        yield Doubt(
            cause="no-witness",
            message="Nobody recorded what was really shipped, so nothing says how often it was.",
            knob="Name the provider's variable (provider_from) so that the witness stands in, or "
            "declare how often an order took effect by the service's own books ([ledger.counts]).",
        )
    elif not bundle.has_witness_file:
        yield Doubt(
            cause="witness-missing",
            message="The witness's file is missing from the run's folder.",
            knob="Run again; look into logs/witness.log.",
        )
    if not manifest.ledger_queries:
        yield Doubt(
            cause="no-ledger",
            message="The service declares no ledger, so what it holds was not compared.",
            knob="Declare its SELECTs under [ledger] in onceproof.toml.",
        )
    if bundle.notes:
        yield Doubt(
            cause="unreadable-lines",
            message=_some([note.text for note in bundle.notes]),
            knob="Run again: records are missing, and with them what they would have shown.",
        )
    if bundle.trace_full:
        yield Doubt(
            cause="trace-full",
            message="The wire's trace ends before the run does: its file reached its limit, or "
            "the disk refused it.",
            knob="Lower traffic.orders; `onceproof doctor` shows the room on the disks.",
        )
    if bundle.history.contradictions:
        yield Doubt(
            cause="contradictory-history",
            message=_some(list(bundle.history.contradictions)),
            knob="Report this as a bug of onceproof: the recorder cannot be trusted here.",
        )
    older = [
        f"order {key[1]} was shipped, and the ledger held it before there was any traffic"
        for key, effects in bundle.effects.items()
        if cause(bundle, key, min(effects.values())) is Cause.OLDER
    ]
    if older:
        yield Doubt(
            cause="unexplained-effects",
            message=f"{_some(older)}.",
            knob="Run against a database of its own: what an older run left is not judged.",
        )


def _traffic(bundle: Bundle, coverage: Coverage) -> Iterator[Doubt]:
    needs = bundle.manifest.thresholds
    figures = bundle.figures
    if not figures.paid:
        yield Doubt(
            cause="no-traffic",
            message="Not one paid order was announced to the service.",
            knob="Raise traffic.orders; look into logs/ for why the sender did not start.",
        )
    elif not figures.latency.ok:
        yield Doubt(
            cause="nothing-acknowledged",
            message=f"None of {figures.paid} paid deliveries was acknowledged.",
            knob="Check the service's URL and secret: its answers are in history-*.jsonl.",
        )
    for topic, (sent, acknowledged) in figures.topics.items():
        if sent and not acknowledged:
            yield Doubt(
                cause="topic-refused",
                message=f"None of {sent} deliveries of {topic} was acknowledged, so what the "
                "scenario is about did not take place.",
                knob="Its answers are in history-*.jsonl. A service that does not take this topic "
                "leaves its path out of onceproof.toml.",
            )
    limit_ms = needs.lateness_p99_ms
    if limit_ms is not None and (coverage.lateness_p99_ms or 0) > limit_ms:
        yield Doubt(
            cause="late-generator",
            message=f"The generator sent late: p99 {coverage.lateness_p99_ms:.0f} ms after the "
            f"intended time, {limit_ms:.0f} ms are allowed.",
            knob="Lower traffic.per_second, use more workers, or raise needs.lateness_p99_ms.",
        )
    if coverage.shed_orders > needs.shed_orders:
        yield Doubt(
            cause="shed-orders",
            message=f"The generator gave up {coverage.shed_orders} orders to keep its schedule.",
            knob="Lower traffic.per_second, raise traffic.users, or raise needs.shed_orders.",
        )
    history = bundle.history
    unsent = history.planned_orders - history.sent_orders - history.shed_orders
    if unsent > 0:
        yield Doubt(
            cause="orders-not-sent",
            message=f"The traffic ended {unsent} orders short of the {history.planned_orders} "
            "planned.",
            knob="Run again; look into logs/locust.log for why it ended.",
        )
    if coverage.unresolved_orders > needs.unresolved_orders:
        yield Doubt(
            cause="unresolved-orders",
            message=f"{coverage.unresolved_orders} orders were never acknowledged: they may or "
            "may not have shipped, and nobody was promised anything.",
            knob="Let retries last longer (traffic.retry_time_scale), or raise "
            "needs.unresolved_orders.",
        )


def _exposure(bundle: Bundle, coverage: Coverage) -> Iterator[Doubt]:
    needs = bundle.manifest.thresholds
    if not coverage.exposures:
        yield Doubt(
            cause="nothing-exposed",
            message="No duplicates overlapped and no crash was proved: nothing could go wrong.",
            knob="Send duplicates (Burst.copies), or ask for faults inside a transaction.",
        )
    gap_seconds, whole_seconds = snapshot_gap_seconds(bundle)
    if gap_seconds > max(SNAPSHOT_GAP_SECONDS, SNAPSHOT_GAP_SHARE * whole_seconds):
        yield Doubt(
            cause="sampling-gap",
            message=f"For {gap_seconds:.1f} s of the traffic nobody looked at the ledger.",
            knob="Run again; look for slow queries under [ledger], or for locks.",
        )
    if coverage.overlapping_groups < needs.overlapping_groups:
        seen = (
            f"Only {coverage.overlapping_groups} of {coverage.duplicate_groups} groups of "
            f"duplicates overlapped at the wire, {needs.overlapping_groups} are needed."
            if bundle.manifest.has_wire
            else "Without the wire nobody saw whether duplicates were handled at the same time."
        )
        yield Doubt(
            cause="no-overlap",
            message=seen,
            knob="Raise traffic.orders or stretch_ms, put the wire between service and database "
            "(database_from), or lower needs.overlapping_groups.",
        )
    if coverage.lost_acknowledgements < needs.lost_acknowledgements:
        yield Doubt(
            cause="no-lost-acknowledgement",
            message=f"{coverage.lost_acknowledgements} COMMITs lost their answer, "
            f"{needs.lost_acknowledgements} are needed.",
            knob="Raise the times of a crash at reply-lost or commit-after-death, or lower "
            "needs.lost_acknowledgements.",
        )


def _faults(bundle: Bundle, coverage: Coverage) -> Iterator[Doubt]:
    if not bundle.manifest.thresholds.every_fault_evidenced:
        return
    for name, count in coverage.faults.items():
        unfired = count.asked - count.fired
        if unfired > 0:
            yield Doubt(
                cause="fault-missed",
                message=f"{name}: {unfired} of {count.asked} never happened "
                f"({_missed_reasons(bundle, name)}).",
                knob="Raise traffic.orders so that traffic outlasts the faults, or lower times.",
            )
        unproved = count.fired - count.evidenced
        if unproved > 0:
            yield Doubt(
                cause="fault-not-evidenced",
                message=f"{name}: {unproved} of {count.fired} happened without proof "
                f"(missing: {_missing_evidence(bundle, name)}).",
                knob="Run again; if it persists, see `onceproof doctor` for what this machine "
                "cannot show, or set needs.every_fault_evidenced to False.",
            )


def snapshot_gap_seconds(bundle: Bundle) -> tuple[float, float]:
    """The longest time of the paid traffic without a look at the ledger, and all of that time."""
    begun_ns, ended_ns = bundle.figures.paid_begun_ns, bundle.figures.paid_ended_ns
    if not bundle.manifest.ledger_queries or begun_ns is None or ended_ns is None:
        return 0.0, 0.0
    looks = [shot.begun_ns for shot in bundle.snapshots if begun_ns < shot.begun_ns < ended_ns]
    times = [begun_ns, *sorted(looks), ended_ns]
    down = _database_down(bundle)
    gap_ns = max(
        after - before - sum(max(0, min(after, up) - max(before, off)) for off, up in down)
        for before, after in pairwise(times)
    )
    return gap_ns / 1e9, (ended_ns - begun_ns) / 1e9


def _database_down(bundle: Bundle) -> list[tuple[int, int]]:
    """From each proved crash of the database until it was seen to answer: there is no state then.

    It may answer a moment before that is seen; who looks at the ledger tries all that while.
    """
    at: dict[str, dict[Stage, int]] = {}
    for record in bundle.faults:
        proved = record.stage is not Stage.EVIDENCE or (
            record.evidence is not None and record.evidence.complete
        )
        if record.kind == "db-crash" and proved:
            at.setdefault(record.fault_id, {})[record.stage] = record.at_ns
    needed = {Stage.INJECT, Stage.EVIDENCE, Stage.HEAL}
    return [(one[Stage.INJECT], one[Stage.HEAL]) for one in at.values() if needed <= one.keys()]


def _missed_reasons(bundle: Bundle, name: str) -> str:
    reasons = {
        str(record.detail.get("reason", "no reason given"))
        for record in bundle.faults
        if record.stage is Stage.MISSED and fault_name(record) == name
    }
    return ", ".join(sorted(reasons)) or "not even journaled"


def _missing_evidence(bundle: Bundle, name: str) -> str:
    missing = {
        fact
        for record in bundle.faults
        if record.evidence is not None and fault_name(record) == name
        for fact in record.evidence.missing
    }
    return ", ".join(sorted(missing)) or "the whole record of it"


def _some(sentences: list[str]) -> str:
    """The first few, and how many more there are."""
    shown = "; ".join(sentences[:EXAMPLES_MAX])
    more = len(sentences) - EXAMPLES_MAX
    return f"{shown}; and {more} more" if more > 0 else shown
