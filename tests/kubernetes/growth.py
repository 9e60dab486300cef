"""How the harness grows: replicas × sending workers on the current cluster, one run for each cell.

    python -m tests.kubernetes.growth --replicas 30 --workers 4     # a cell; again: measured again
    python -m tests.kubernetes.growth --draw                        # the table on stdout, the chart

A cell is a short run in a namespace of its own: 150 orders at 10 a second, two copies each, and six
crashes aimed at a COMMIT, one after the other. Containers ask for little (20m, 64Mi, as
overlays/local has it), so that 30 replicas find room on two cores; what they then get is another
matter, and docs/scale.md says so. Deploy: from the claim of the namespace to all replicas ready.
Kill: from the call that kills to the end of the victim's connection at the wire. Collection: from
the last answer to the moment when every worker's history is here, whole.
"""

import asyncio
import os
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
import msgspec

from cluster.journal import read_journal
from results.charts.style import BLUE, SKY, VIOLET, Figures, paint, put_grid, put_title
from results.records import FaultRecord, Stage, Thresholds
from results.run_folder import RunFolder
from scenarios import Crash, InTransaction, Scenario, Traffic
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.plan import ClusterTarget, RunPlan
from scenarios.engine.runner import run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
NAME = "growth_on_kubernetes"
SMALL = {"cpu": "20m", "memory": "64Mi"}
CRASHES = 6


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run; times in seconds, of kills in milliseconds."""

    replicas: int
    workers: int
    verdict: str
    cores: int
    deploy_seconds: float
    kill_ms: tuple[float, ...]  # ascending; of those with proof
    collect_seconds: float
    deliveries: int
    connections: int  # to the database, the most at one time
    remove_seconds: float


class Growth(Figures, frozen=True, kw_only=True):
    """The table, and its chart: one panel for each time, one line for each number of workers."""

    cells: tuple[Cell, ...]

    def draw(self, figure: "Figure") -> None:
        """Draw it."""
        put_title(figure, self.title)
        panels = figure.subplots(1, 3)
        for axes, (words, name) in zip(panels, PANELS.items(), strict=True):
            for colour, workers in zip((SKY, BLUE, VIOLET), WORKERS, strict=True):
                line = [one for one in self.cells if one.workers == workers]
                axes.plot(
                    [one.replicas for one in line], [value(one, name) for one in line], "o-",
                    color=colour, label=f"{workers} sending",
                )  # fmt: skip
            axes.set_title(words, loc="left", fontsize=9.5)
            axes.set_xlabel("replicas")
            axes.set_ylim(bottom=0)
            put_grid(axes)
        panels[0].legend(frameon=False, fontsize=9)


PANELS = {"deploy, seconds": "deploy", "kill, median, ms": "kill", "collection, seconds": "collect"}
WORKERS = (1, 2, 4)


def value(cell: Cell, name: str) -> float:
    """One figure of a cell."""
    if name == "kill":
        return median(cell.kill_ms) if cell.kill_ms else float("nan")
    return cell.deploy_seconds if name == "deploy" else cell.collect_seconds


def measure(replicas: int, workers: int, image: str, runs: Path) -> Cell:
    """Make the run, and read its times."""
    scenario = Scenario(
        title=f"{replicas} replicas, {workers} sending", replicas=replicas,
        traffic=Traffic(orders=150, per_second=10, users=200),
        faults=[Crash(at=InTransaction("commit-dropped"), times=CRASHES)], fault_every_seconds=2.5,
        settle_seconds=60.0, needs=Thresholds(overlapping_groups=20, lateness_p99_ms=None),
    )  # fmt: skip
    target = ClusterTarget(
        context=None, namespace=f"growth-{replicas}-{workers}", image=image, workers=workers,
        requests=SMALL,
    )  # fmt: skip
    plan = RunPlan(
        name="growth", scenario=scenario, config=load_config(OWN_CONFIG), strategy="insert_first",
        provider="honours", seed=1, runs=runs, cluster=target,
    )  # fmt: skip
    moments: dict[str, int] = {}

    def watch(text: str) -> None:
        moments.setdefault(text.split(maxsplit=1)[0], time.monotonic_ns())
        click.echo(text)

    folder, verdict = asyncio.run(run(plan, watch))
    ended_ns = time.monotonic_ns()
    click.echo(f"{verdict.validity} {verdict.sentence}")
    return cell_of(folder, replicas, workers, str(verdict.validity), moments, ended_ns)


def cell_of(
    folder: RunFolder, replicas: int, workers: int, verdict: str, moments: dict[str, int],
    ended_ns: int,
) -> Cell:  # fmt: skip
    """Its times, from the moments that were told and the run's records."""
    bundle = folder.load()
    answered = [one.completion.done_ns for one in bundle.history.deliveries if one.completion]
    kills = [
        (facts["eof_ns"] - facts["killed_ns"]) / 1e6
        for one in read_journal(folder.journal)
        if isinstance(one, FaultRecord) and one.stage is Stage.EVIDENCE and one.evidence
        for facts in [one.evidence.facts]
        if one.evidence.complete
    ]
    return Cell(
        replicas=replicas, workers=workers, verdict=verdict, cores=os.cpu_count() or 0,
        deploy_seconds=round((moments["crash:"] - moments["claiming"]) / 1e9, 1),
        kill_ms=tuple(sorted(round(one, 1) for one in kills)),
        collect_seconds=round((moments["traffic"] - max(answered)) / 1e9, 2),
        deliveries=len(answered),
        connections=max((one.connections for one in bundle.resources), default=0),
        remove_seconds=round((ended_ns - moments["removing"]) / 1e9, 1),
    )  # fmt: skip


def read() -> list[Cell]:
    """The cells so far."""
    path = PUBLISHED / f"{NAME}.json"
    if not path.exists():
        return []
    return list(msgspec.json.decode(path.read_bytes(), type=Growth).cells)


def keep(cells: list[Cell]) -> Growth:
    """Write them, with the finding."""
    cells.sort(key=lambda one: (one.replicas, one.workers))
    figures = Growth(title=title_of(cells), cells=tuple(cells))
    text = msgspec.json.format(msgspec.json.encode(figures)) + b"\n"
    (PUBLISHED / f"{NAME}.json").write_bytes(text)
    return figures


def title_of(cells: list[Cell]) -> str:
    """The finding."""
    alone = [one for one in cells if one.workers == 1] or cells
    first, last = alone[0], alone[-1]
    return (
        f"From {first.replicas} to {last.replicas} replicas: deploy {first.deploy_seconds:.0f} → "
        f"{last.deploy_seconds:.0f} s, kill {value(first, 'kill'):.0f} → "
        f"{value(last, 'kill'):.0f} ms, on {first.cores} cores"
    )


def table(cells: list[Cell]) -> str:
    """For docs/scale.md."""
    rows = [
        "| replicas | workers | deploy | kill: median (most) | collection | removal | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {one.replicas} | {one.workers} | {one.deploy_seconds:.1f} s | "
        f"{value(one, 'kill'):.0f} ms ({max(one.kill_ms):.0f}), {len(one.kill_ms)} proved | "
        f"{one.collect_seconds:.2f} s | {one.remove_seconds:.1f} s | {one.verdict} |"
        for one in cells
    ]
    return "\n".join(rows)


@click.command()
@click.option("--replicas", type=int, help="Of the service.")
@click.option("--workers", type=click.Choice(["1", "2", "4"]), default="1", help="That send.")
@click.option("--image", default="localhost/onceproof", help="Of all pods.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("results/runs"))
@click.option("--draw", is_flag=True, help="Only write the chart and the table again.")
def main(replicas: int, workers: str, image: str, runs: Path, *, draw: bool) -> None:
    """Measure one cell, or draw what was measured."""
    cells = read()
    if not draw:
        cell = measure(replicas, int(workers), image, runs)
        click.echo(msgspec.json.encode(cell))
        others = [one for one in cells if (one.replicas, one.workers) != (replicas, int(workers))]
        cells = [*others, cell]
    figures = keep(cells)
    if draw:
        _, svg = paint(PUBLISHED, NAME, figures, salt=NAME)
        svg.unlink()
        click.echo(table(list(figures.cells)))


if __name__ == "__main__":
    main()
