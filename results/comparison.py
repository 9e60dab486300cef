"""What changed from one run to another: for a baseline in CI, and for whoever changed a handler.

Both are judged here and now by the same rules, so a difference is one of the runs, never of the
version that judged them. *Worse* is a verdict that fell from valid, a code that was not found
before, or an SLO that was met before and is missed now; each makes the exit status 1. Counts,
findings, coverage and latencies are shown and decide nothing: they change with the machine (an
--slo decides on latency). A code that is not found and not judged is never called gone.

Runs of another scenario, strategy, provider or format cannot be compared, and a run that proved
nothing is no baseline and no proof: status 2, whatever else stands in the table. Limit: a scenario
is known by its name and the faults it asks for; whoever edits its traffic compares two things.
"""

from collections.abc import Iterator

from msgspec import Struct

from results.anomalies.catalogue import CATALOGUE
from results.bundle import Bundle
from results.checker import check
from results.interval import Interval, interval
from results.latency import acknowledged_ms
from results.verdict import Validity, Verdict
from results.wording import coverage_rows

SHARES = (0.50, 0.99)


# Judged only where something happened to be asked again, or to be committed late.
BY_CHANCE = frozenset({"A7", "A13", "A16"})


class Side(Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    run_id: str
    scenario: str
    strategy: str
    provider: str
    seed: int
    validity: Validity
    sentence: str


class CodeChange(Struct, frozen=True, kw_only=True):
    """How often a code was found; None: that run could not judge it."""

    code: str
    name: str
    before: int | None
    after: int | None
    change: str  # "new", "gone", "more", "fewer", "same", "not judged any more"


class FindingChange(Struct, frozen=True, kw_only=True):
    """How often a finding was made."""

    name: str
    before: int
    after: int


class FigureChange(Struct, frozen=True, kw_only=True):
    """A figure of the coverage, in words."""

    name: str
    before: str
    after: str


class LatencyChange(Struct, frozen=True, kw_only=True):
    """A percentile of the acknowledged deliveries; `differs` if the intervals do not overlap."""

    before: Interval
    after: Interval
    differs: bool


class Comparison(Struct, frozen=True, kw_only=True):
    """All that changed, what of it is worse, and why it may not be compared at all."""

    before: Side
    after: Side
    obstacles: tuple[str, ...]
    worse: tuple[str, ...]
    codes: tuple[CodeChange, ...]
    findings: tuple[FindingChange, ...]
    coverage: tuple[FigureChange, ...]
    latencies: tuple[LatencyChange, ...]
    exit_status: int


def compare(before: Bundle, after: Bundle) -> Comparison:
    """Judge both runs and hold them side by side."""
    was, now = check(before), check(after)
    codes = tuple(_codes(was, now))
    obstacles = tuple(_obstacles(before, after, was, now))
    worse = tuple(_worse(was, now, codes))
    latencies = []
    for share in SHARES:
        one, other = (interval(_latencies(bundle), share) for bundle in (before, after))
        differs = one.apart_from(other)
        latencies.append(LatencyChange(before=one, after=other, differs=differs))
    return Comparison(
        before=_side(was),
        after=_side(now),
        obstacles=obstacles,
        worse=worse,
        codes=codes,
        findings=tuple(_findings(was, now)),
        coverage=tuple(_coverage(was, now)),
        latencies=tuple(latencies),
        exit_status=2 if obstacles else 1 if worse else 0,
    )


def _side(verdict: Verdict) -> Side:
    return Side(
        run_id=verdict.run_id,
        scenario=verdict.scenario,
        strategy=verdict.strategy,
        provider=verdict.provider,
        seed=verdict.seed,
        validity=verdict.validity,
        sentence=verdict.sentence,
    )


def _obstacles(before: Bundle, after: Bundle, was: Verdict, now: Verdict) -> Iterator[str]:
    one, other = before.manifest, after.manifest
    for what, left, right in (
        ("formats", one.format_version, other.format_version),
        ("scenarios", one.scenario, other.scenario),
        ("strategies", one.strategy, other.strategy),
        ("providers", one.provider, other.provider),
        ("faults asked for", one.asked_faults, other.asked_faults),
        ("ledgers declared", one.ledger_queries, other.ledger_queries),
    ):
        if left != right:
            yield f"The {what} differ: {left} and {right}."
    for verdict in (was, now):
        if verdict.validity is Validity.UNKNOWN:
            yield f"{verdict.run_id} is unknown: {verdict.sentence}"


def _codes(was: Verdict, now: Verdict) -> Iterator[CodeChange]:
    before, after = _counts(was), _counts(now)
    for code, entry in CATALOGUE.items():
        then, later = before[code], after[code]
        if then or later or (then is None) != (later is None):
            yield CodeChange(
                code=code, name=entry.name, before=then, after=later, change=_change(then, later)
            )


def _counts(verdict: Verdict) -> dict[str, int | None]:
    """Every code with its count; None for one that was not judged."""
    unjudged = {item.code for item in verdict.not_judged}
    return {code: None if code in unjudged else verdict.totals.get(code, 0) for code in CATALOGUE}


def _change(then: int | None, later: int | None) -> str:
    if later is None:
        return "not judged any more"
    if then is None and not later:
        return "judged now"
    if not then:
        return "new"
    if not later:
        return "gone"
    return "same" if later == then else "more" if later > then else "fewer"


def _worse(was: Verdict, now: Verdict, codes: tuple[CodeChange, ...]) -> Iterator[str]:
    if was.validity is Validity.VALID and now.validity is not Validity.VALID:
        yield f"The verdict fell from valid to {now.validity.value}."
    for item in codes:
        if item.change == "not judged any more" and item.code not in BY_CHANCE:
            yield f"{item.code} {item.name} is not judged any more."
        if item.change == "new":
            known = "was not judged before" if item.before is None else "was not found before"
            yield f"{item.code} {item.name} is new: found {item.after:,}, and {known}."
    met = {result.slo for result in was.slos if result.met}
    for result in now.slos_missed:
        if result.slo in met:
            yield f"An SLO that was met is missed now: {result.words}."


def _findings(was: Verdict, now: Verdict) -> Iterator[FindingChange]:
    before = {item.name: item.count for item in was.findings}
    after = {item.name: item.count for item in now.findings}
    for name in dict.fromkeys((*before, *after)):
        yield FindingChange(name=name, before=before.get(name, 0), after=after.get(name, 0))


def _coverage(was: Verdict, now: Verdict) -> Iterator[FigureChange]:
    before, after = dict(coverage_rows(was.coverage)), dict(coverage_rows(now.coverage))
    for name in dict.fromkeys((*before, *after)):
        yield FigureChange(name=name, before=before.get(name, "–"), after=after.get(name, "–"))


def _latencies(bundle: Bundle) -> list[float]:
    """Of the same deliveries as the verdict's own latencies."""
    return acknowledged_ms(one for one in bundle.history.deliveries if one.intent.authentic)
