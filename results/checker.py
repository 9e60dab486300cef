"""The checker: from the records of a run to its verdict, knowing nothing of how it was made.

`check` is the whole of it: every anomaly that can be judged is looked for, the coverage is
measured, the doubts are collected, and `decide` weighs them. `judge` does the same for a folder,
so that a run can be judged again years later.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from results.anomalies import JUDGES
from results.anomalies.catalogue import CATALOGUE, IMPLIES
from results.anomalies.stuck_order import CODE as STUCK
from results.bundle import Bundle
from results.coverage import cover, exposure_sentence
from results.doubts import find_doubts
from results.findings import find_findings
from results.history import OrderKey
from results.run_folder import RunFolder, write_whole
from results.slo import judge_slos
from results.verdict import (
    ANOMALIES_MAX,
    Anomaly,
    Coverage,
    Doubt,
    NotJudged,
    Validity,
    Verdict,
    decide,
)

LARGE_BYTES = 150_000_000  # of history: some 250,000 deliveries, a minute's work as records


def judge(folder: RunFolder, slos: Sequence[str] = ()) -> Verdict:
    """Judge a run's folder and leave `verdict.json` in it. ConfigError: no readable manifest.

    `slos` take the place of those that the run was asked for.
    """
    verdict = _judge_large(folder, slos) if is_large(folder) else None
    if verdict is None:
        bundle = folder.load()
        if slos:
            manifest = replace(bundle.manifest, slos=tuple(slos))
            bundle = dataclasses.replace(bundle, manifest=manifest)
        verdict = check(bundle)
    write_whole(folder.verdict, verdict.to_json())
    return verdict


def is_large(folder: RunFolder) -> bool:
    """Whether a run is judged from columns: it has many deliveries, or it has nothing else."""
    histories = folder.histories()
    if not histories:
        return (folder.path / "columns").exists()
    return sum(path.stat().st_size for path in histories) >= LARGE_BYTES


def load_accused(folder: RunFolder, verdict: Verdict) -> Bundle | None:
    """Of a large run that was judged from columns: the orders that the verdict lists, as records.

    None where `RunFolder.load` is the way.
    """
    if not is_large(folder):
        return None
    from results.screen.judge import load_orders

    return load_orders(folder, {one.order_id for one in verdict.anomalies})


def _judge_large(folder: RunFolder, slos: Sequence[str]) -> Verdict | None:
    from results.screen.judge import judge_columns

    return judge_columns(folder, slos)


def check(bundle: Bundle) -> Verdict:
    """Judge the records of one run."""
    anomalies, not_judged = find_anomalies(bundle)
    totals = Counter(anomaly.code for anomaly in anomalies)
    return weigh(bundle, list_some(anomalies), totals, not_judged)


def weigh(
    bundle: Bundle,
    listed: tuple[Anomaly, ...],
    totals: Mapping[str, int],
    not_judged: tuple[NotJudged, ...],
) -> Verdict:
    """The verdict on a run: some of its anomalies, how many of each code, and what backs it."""
    coverage = cover(bundle, totals.get(STUCK, 0))
    if totals:
        coverage = replace(coverage, bound=None)  # 3/n is what "0 of n" allows
    doubts = find_doubts(bundle, coverage)
    validity = decide(sum(totals.values()), len(doubts))
    manifest, latency = bundle.manifest, bundle.figures.latency
    return Verdict(
        run_id=manifest.run_id,
        scenario=manifest.scenario,
        title=manifest.title,
        strategy=manifest.strategy,
        provider=manifest.provider,
        seed=manifest.seed,
        validity=validity,
        sentence=sentence(validity, totals, doubts, coverage),
        anomalies=listed,
        totals=dict(totals),
        findings=find_findings(bundle),
        not_judged=not_judged,
        doubts=doubts,
        coverage=coverage,
        latency=latency,
        slos=judge_slos(manifest.slos, latency),
    )


def find_anomalies(bundle: Bundle) -> tuple[list[Anomaly], tuple[NotJudged, ...]]:
    """Ask every judge; a code without its inputs is listed as not judged."""
    found: list[Anomaly] = []
    reasons: dict[str, str] = {}
    for one in JUDGES:
        reason = one.cannot_judge(bundle)
        if reason is None:
            found.extend(one.find(bundle))
        else:
            reasons[one.code] = reason
    not_judged = tuple(
        NotJudged(code=code, name=CATALOGUE[code].name, reason=reason)
        for code, reason in reasons.items()
    )
    return mark_implied(found), not_judged


def mark_implied(anomalies: list[Anomaly]) -> list[Anomaly]:
    """Note on each anomaly which other one of the same order explains it."""
    codes: dict[OrderKey, set[str]] = defaultdict(set)
    for anomaly in anomalies:
        codes[(anomaly.shop, anomaly.order_id)].add(anomaly.code)
    marked = []
    for anomaly in anomalies:
        beside = codes[(anomaly.shop, anomaly.order_id)]
        causes = [code for code, implied in IMPLIES.items()
                  if code in beside and anomaly.code in implied]  # fmt: skip
        marked.append(replace(anomaly, implied_by=causes[0] if causes else ""))
    return marked


def list_some(anomalies: list[Anomaly]) -> tuple[Anomaly, ...]:
    """At most ANOMALIES_MAX in the order of time, with the first ones of every code among them."""
    by_code: dict[str, list[Anomaly]] = defaultdict(list)
    for anomaly in sorted(anomalies, key=lambda anomaly: anomaly.first_ns):
        by_code[anomaly.code].append(anomaly)
    share = ANOMALIES_MAX // max(1, len(by_code))
    listed = [anomaly for found in by_code.values() for anomaly in found[:share]]
    return tuple(sorted(listed, key=lambda anomaly: (anomaly.first_ns, anomaly.code)))


def sentence(
    validity: Validity, totals: Mapping[str, int], doubts: tuple[Doubt, ...], coverage: Coverage
) -> str:
    """The verdict in one line for people."""
    if validity is Validity.INVALID:
        told = ", ".join(
            f"{CATALOGUE[code].name} ×{count}" for code, count in Counter(totals).most_common()
        )
        return f"Not exactly once: {told}."
    if validity is Validity.UNKNOWN:
        causes = ", ".join(dict.fromkeys(doubt.cause for doubt in doubts))
        return f"Nothing wrong was seen, but the run does not prove it: {causes}."
    return f"Every acknowledged order was fulfilled exactly once. {exposure_sentence(coverage)}"
