"""The words that the terminal, the chart, the report and JUnit share: one verdict, one wording."""

from msgspec import Struct

from results.anomalies.catalogue import CATALOGUE
from results.verdict import Coverage, FaultCount, Validity, Verdict

SIGNS = {Validity.VALID: "✓", Validity.INVALID: "✗", Validity.UNKNOWN: "?"}


class PromiseRow(Struct, frozen=True):
    """What a verdict says of one code."""

    code: str
    name: str
    status: str  # "found", "clean", "skipped"
    words: str
    count: int = 0


def headline(verdict: Verdict) -> str:
    """State the finding in a few words: a chart's title, a report's heading."""
    who = verdict.strategy
    if verdict.validity is Validity.INVALID:
        return f"{who} breaks its promise: {anomaly_words(verdict)}"
    if verdict.validity is Validity.UNKNOWN:
        cause = verdict.doubts[0].cause if verdict.doubts else "nothing was proved"
        return f"{who} stays unknown: {cause}"
    kept = f"{who} kept every promise in {verdict.coverage.exposures:,} proven exposures"
    missed = ", ".join(result.words for result in verdict.slos_missed)
    return f"{kept}, but {missed}" if missed else kept


def anomaly_words(verdict: Verdict) -> str:
    """List the codes found, with counts: `12 × duplicate-shipment`."""
    found = (f"{verdict.totals[code]:,} × {CATALOGUE[code].name}" for code in verdict.codes)
    return ", ".join(found) or "none"


def bound_words(coverage: Coverage) -> str:
    """Say the 95 % upper bound on the rate of anomalies per exposure; a dash where none holds."""
    if coverage.bound is None:
        return "–"
    return f"< {coverage.bound:.2%} of {coverage.exposures:,}"


def all_faults(coverage: Coverage) -> FaultCount:
    """All faults of a run, added up."""
    counts = coverage.faults.values()
    return FaultCount(
        asked=sum(count.asked for count in counts),
        parked=sum(count.parked for count in counts),
        fired=sum(count.fired for count in counts),
        evidenced=sum(count.evidenced for count in counts),
        timeouts=sum(count.timeouts for count in counts),
    )


def faults_words(coverage: Coverage) -> str:
    """`20 / 20 / 20 / 20`: asked, parked, fired, evidenced; a dash where none were asked."""
    total = all_faults(coverage)
    if not coverage.faults:
        return "–"
    return f"{total.asked} / {total.parked} / {total.fired} / {total.evidenced}"


def promise_rows(verdict: Verdict) -> list[PromiseRow]:
    """All codes: found, clean or not judged. What was not judged is never clean."""
    reasons = {item.code: item.reason for item in verdict.not_judged}
    rows = []
    for code, entry in CATALOGUE.items():
        count = verdict.totals.get(code, 0)
        if count:
            rows.append(PromiseRow(code, entry.name, "found", f"found {count:,}", count))
        elif code in reasons:
            rows.append(PromiseRow(code, entry.name, "skipped", f"not judged: {reasons[code]}"))
        else:
            rows.append(PromiseRow(code, entry.name, "clean", "clean"))
    return rows


def coverage_rows(coverage: Coverage) -> list[tuple[str, str]]:
    """Name and value of everything that backs a verdict; what was not measured says so."""

    def ms(value: float | None) -> str:
        return "not measured" if value is None else f"{value:,.1f} ms"

    rows = [
        ("orders", f"{coverage.orders:,}"),
        ("deliveries (retries)", f"{coverage.deliveries:,} ({coverage.retries:,})"),
        ("groups of duplicates", f"{coverage.duplicate_groups:,}"),
        ("… that overlapped for the sender", f"{coverage.sender_overlapping_groups:,}"),
        ("… that overlapped at the wire", f"{coverage.overlapping_groups:,}"),
        ("shipments at the witness", f"{coverage.effects:,}"),
        ("… after the payment p50 / p99 / max", " / ".join(map(ms, (
            coverage.shipped_p50_ms, coverage.shipped_p99_ms, coverage.shipped_max_ms)))),
        ("COMMITs with a lost answer", f"{coverage.lost_acknowledgements:,}"),
        ("ledger snapshots", f"{coverage.snapshots:,}"),
        ("sender's lateness p50", ms(coverage.lateness_p50_ms)),
        ("sender's lateness p99", ms(coverage.lateness_p99_ms)),
        ("orders shed / unresolved", f"{coverage.shed_orders:,} / {coverage.unresolved_orders:,}"),
        ("proven exposures", f"{coverage.exposures:,}"),
        ("95 % bound, for runs like this", bound_words(coverage)),
    ]  # fmt: skip
    if coverage.holds:
        held = f"{ms(coverage.hold_p50_ms)} / {ms(coverage.hold_p99_ms)}"
        rows.append(("holds", f"{coverage.holds:,}"))
        rows.append(("… their length p50 / p99", held))
        rows.append(("other deliveries in flight on victims", f"{coverage.others_in_flight:,}"))
    if coverage.blind_share is not None:
        rows.append(("blind kills that hit a transaction", f"{coverage.blind_share:.0%}"))
    return rows
