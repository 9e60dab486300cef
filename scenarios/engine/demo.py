"""The main job on one machine: one handler found guilty with its history, one proved innocent.

Two short runs that share nothing but the machine: the article's fix under distinct webhook ids,
with a directed search for the smallest history; and `insert_first` under the same duplicates while
replicas are crashed at all three points around their COMMIT. Exit status 0 if and only if the
first is invalid by a duplicate shipment and the second is valid. Only those charts are drawn that
tell this story: `onceproof report` draws all of them.
"""

from dataclasses import replace
from pathlib import Path

from results.card import Card
from results.records import Thresholds
from results.report import write_demo_report
from results.run_folder import RunFolder
from results.summary import verdict_table
from results.timeline import Timeline
from results.verdict import Validity, Verdict
from scenarios.distinct_ids import scenario as distinct_ids
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import RunPlan
from scenarios.engine.progress import progress
from scenarios.engine.runner import run
from scenarios.engine.scenario import Burst, Crash, InTransaction, Scenario, Traffic
from scenarios.engine.show import consoles, write_outputs

CHARTS = ("timeline", "latency", "counterexample")
GUILTY = replace(distinct_ids, traffic=Traffic(orders=140, per_second=70))
INNOCENT = Scenario(
    title="Replicas crash around their COMMIT while every webhook arrives twice",
    traffic=Traffic(orders=330, per_second=45, duplicates=Burst(copies=2, ids="distinct")),
    faults=[
        Crash(at=InTransaction("commit-dropped"), times=2),
        Crash(at=InTransaction("commit-after-death"), times=2),
        Crash(at=InTransaction("reply-lost"), times=2),
    ],
    stretch_ms=4.0,
    needs=Thresholds(lost_acknowledgements=1),
)


async def demonstrate(seed: int, runs: Path) -> int:
    """Run both, show the table, the counterexample and where the report lies."""
    config = load_config(OWN_CONFIG)
    console, aside = consoles()
    shown: list[tuple[RunFolder, Verdict, list[Timeline]]] = []
    for name, scenario, strategy, search in (
        ("distinct_ids", GUILTY, "article", True),
        ("kill_around_commit", INNOCENT, "insert_first", False),
    ):
        plan = RunPlan(
            name=name, scenario=scenario, config=config, strategy=strategy, provider="honours",
            seed=seed, runs=runs, search=search,
        )  # fmt: skip
        with progress(aside, f"{name} × {strategy} (seed {seed})") as watch:
            folder, verdict = await run(plan, watch)
            watch("drawing the report")
            shown.append((folder, verdict, write_outputs(folder, verdict, CHARTS)))
    (_, guilty, timelines), (_, innocent, _) = shown
    if timelines:
        console.print(Card(timelines[0]))
    console.print(
        verdict_table([(folder.read_manifest(), verdict) for folder, verdict, _ in shown])
    )
    for _, verdict, _ in shown:
        for doubt in verdict.doubts:
            console.print(f"unknown: {doubt.message} {doubt.knob}", soft_wrap=True)
    report = write_demo_report(shown, runs / f"demo-{seed}.html")
    console.print(f"report: {report}", soft_wrap=True)
    as_expected = (
        guilty.validity is Validity.INVALID
        and "A1" in guilty.totals
        and innocent.validity is Validity.VALID
    )
    if not as_expected:
        console.print("Not as expected: the table above says where.", soft_wrap=True)
    if as_expected:
        return 0
    unknown = Validity.UNKNOWN in (guilty.validity, innocent.validity)
    return Validity.UNKNOWN.exit_status if unknown else Validity.INVALID.exit_status
