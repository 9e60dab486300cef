"""What each command shows: tables for people on standard output, one JSON document for programs."""

import dataclasses
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.heal import heal
from results.card import Card
from results.charts import ALL_CHARTS, draw_charts
from results.checker import judge, load_accused
from results.junit import write_junit
from results.latency import Second, series
from results.measures import take_measures, write_measures
from results.report import write_report
from results.run_folder import RunFolder
from results.summary import latency_chart, markdown_summary, verdict_table
from results.timeline import Timeline, counterexamples, explain
from results.verdict import Verdict
from scenarios.engine.catalog import first_line, load_scenario, shipped, unknown
from scenarios.engine.config import ServiceConfig, find_config, load_config
from scenarios.engine.in_cluster import run_in_cluster
from scenarios.engine.plan import ClusterTarget, RunPlan, placed
from scenarios.engine.progress import progress
from scenarios.engine.runner import run
from scenarios.engine.slots import slot_folders

CARDS_MAX = 5
OF_LARGE_RUNS = {"kills", "resources", "counterexample"}  # charts that need not all deliveries


def say_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def consoles() -> tuple[Console, Console]:
    """Results on standard output, progress on standard error; never narrower than a card."""
    out = Console()
    if not out.is_terminal:
        out = Console(width=120)
    return out, Console(stderr=True)


def show_list(config_path: Path | None, *, as_json: bool) -> int:
    """Scenarios and strategies."""
    config = load_config(find_config(config_path))
    scenarios = {name: first_line(path) for name, path in shipped().items()}
    elsewhere = [name for name in scenarios if load_scenario(name)[1].only_in_clusters]
    if as_json:
        say_json(
            {"scenarios": scenarios, "strategies": config.strategies,
             "only_on_kubernetes": elsewhere}
        )  # fmt: skip
        return 0
    console, _ = consoles()
    for title, rows in (
        ("Scenarios", {name: scenarios[name] for name in scenarios if name not in elsewhere}),
        ("Only with --on kubernetes", {name: scenarios[name] for name in elsewhere}),
        (f"Strategies of {config.service.name}", config.strategies),
    ):
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        for name, text in rows.items():
            table.add_row(f"[bold]{name}[/bold]", text)
        console.print(table)
    return 0


def pick_strategy(config: ServiceConfig, given: str | None) -> str:
    """The strategy asked for; the last one listed when none is."""
    if given is None:
        return list(config.strategies)[-1] if config.strategies else "default"
    if config.strategies and given not in config.strategies:
        raise unknown("strategy", given, config.strategies)
    return given


async def run_and_show(
    scenario_name: str, strategy: str | None, provider: str, config_path: Path | None, seed: int,
    runs: Path, *, as_json: bool, search: bool, database_url: str | None, slos: tuple[str, ...],
    cluster: ClusterTarget | None = None, in_cluster: bool = False,
) -> int:  # fmt: skip
    """Run one scenario, write its report, show its verdict."""
    config = load_config(find_config(config_path))
    name, scenario = load_scenario(scenario_name)
    plan = RunPlan(
        name=name, scenario=scenario, config=config, strategy=pick_strategy(config, strategy),
        provider=scenario.provider or provider, seed=seed, runs=runs, search=search,
        database_url=database_url, slos=slos, cluster=placed(cluster, config) if cluster else None,
    )  # fmt: skip
    console, aside = consoles()
    with progress(aside, f"{name} × {plan.strategy} (seed {seed})") as watch:
        if in_cluster:
            folder, status = await run_in_cluster(plan, scenario_name, watch)
            verdict = judge(folder)
        else:
            folder, verdict = await run(plan, watch)
            status = verdict.exit_status
    present(folder, verdict, console, as_json=as_json)
    return status


def present(folder: RunFolder, verdict: Verdict, console: Console, *, as_json: bool) -> None:
    """Write everything a run's folder should hold, and show the verdict."""
    timelines = write_outputs(folder, verdict)
    if as_json:
        say_json(verdict)
        return
    console.print(verdict_table([(folder.read_manifest(), verdict)]))
    for doubt in verdict.doubts:
        console.print(f"[yellow]unknown:[/yellow] {doubt.message} {doubt.knob}", soft_wrap=True)
    for result in verdict.slos:
        console.print(Text(f"SLO {result.words}", style="" if result.met else "yellow"))
    if timelines:
        console.print(Card(timelines[0]))
    console.print(f"report: {folder.report}", soft_wrap=True)


def write_outputs(
    folder: RunFolder, verdict: Verdict, charts: Collection[str] = ALL_CHARTS
) -> list[Timeline]:
    """Charts, report, JUnit and summary; returns the counterexamples, the smallest first.

    Of a large run only what needs no record of the orders that nobody accuses.
    """
    accused = load_accused(folder, verdict)
    bundle = accused or folder.load()
    timelines = counterexamples(bundle, verdict, limit=CARDS_MAX)
    directed = bundle.manifest.environment.get("directed_order")
    for anomaly in verdict.anomalies:
        if anomaly.order_id == directed and not anomaly.implied_by:
            timelines = [explain(bundle, anomaly), *timelines[1:]]
            break
    shown = charts if accused is None else {*charts} & OF_LARGE_RUNS
    draw_charts(bundle, verdict, timelines, folder.charts, shown)
    write_report(folder, verdict, timelines)
    write_junit(folder.junit, [(verdict, timelines)])
    seconds: list[Second] = []
    if accused is None:
        write_measures(folder.measures, take_measures(bundle))
        paid = [one for one in bundle.history.deliveries if one.intent.topic == "orders/paid"]
        start_ns = min((one.intent.intended_ns for one in paid), default=0)
        seconds = series(paid, start_ns)
    folder.summary.write_text(markdown_summary([(verdict, timelines)]) + latency_chart(seconds))
    return timelines


def check_and_show(given: str, runs: Path, slos: tuple[str, ...], *, as_json: bool) -> int:
    """Judge a stored run again; by these service level objectives, if any are given."""
    folder = RunFolder.find(runs, given)
    verdict = judge(folder, slos)
    console, _ = consoles()
    present(folder, verdict, console, as_json=as_json)
    return verdict.exit_status


def report_again(given: str, runs: Path) -> int:
    """Write a stored run's report and charts again."""
    folder = RunFolder.find(runs, given)
    write_outputs(folder, judge(folder))
    console, _ = consoles()
    console.print(str(folder.report), soft_wrap=True)
    return 0


async def heal_and_show(runs: Path, *, as_json: bool) -> int:
    """Heal every run that has a journal and no living runner; 255 if something is left."""
    report = await heal(runs, run=None)
    for slot in slot_folders(runs):
        more = await heal(slot, run=None)
        for name, found in dataclasses.asdict(more).items():
            getattr(report, name).extend(found)
    if as_json:
        say_json(report)
        return 0 if report.healed else 255
    console, _ = consoles()
    for what, names in (
        ("ended", report.ended),
        ("removed", report.removed),
        ("marked interrupted", report.interrupted),
        ("left alone, its runner lives", report.alive),
        ("needs you", report.wrong),
    ):
        for name in names:
            console.print(f"{what}: {name}", soft_wrap=True)
    if report.healed:
        console.print("Nothing is left behind.")
    return 0 if report.healed else 255
