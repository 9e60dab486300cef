"""`onceproof bench`: measure the parts asked for, write a table and a chart, say what was missed.

In the folder: bench.json (every sample), bench.md (the tables), bench.png and bench.svg. Exit
status 0 if every target was met, 1 if one was missed or some work was not exact, 2 if one could
not be measured on this machine.
"""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from cluster.journal import Journal
from results.benchmark import (
    BenchmarkReport,
    PartReport,
    figure,
    markdown,
    reached,
    unmeasured,
    wrong_samples,
)
from results.charts.benchmark import benchmark_figures
from results.charts.style import paint
from scenarios.engine.bench.part import Ground
from scenarios.engine.bench.parts import PARTS, load_part
from scenarios.engine.bench.rounds import measure_part
from scenarios.engine.progress import progress
from scenarios.engine.show import consoles, say_json

JOURNAL = "journal.jsonl"


async def bench_and_show(
    names: tuple[str, ...], rounds: int, seconds: float, seed: int, into: Path, *, as_json: bool
) -> int:
    """Measure, write, show."""
    parts = [load_part(name) for name in names or PARTS]
    out, console = consoles()
    reports: list[PartReport] = []
    journal = Journal(into / JOURNAL)  # `heal` looks for it, should this process be killed
    try:
        with progress(console, f"bench, seed {seed}") as watch:
            for part in parts:
                with tempfile.TemporaryDirectory(prefix="onceproof-bench-") as folder:
                    ground = Ground(folder=Path(folder), journal=journal, seed=seed)
                    reports.append(await measure_part(part, ground, rounds, seconds, watch))
    finally:
        journal.close()
    journal.path.unlink()  # nothing is left that it could name
    report = BenchmarkReport(
        seed=seed, rounds=rounds, seconds=seconds, machine=machine(), parts=tuple(reports)
    )
    write(report, into)
    if as_json:
        say_json(report)
    else:
        for made in reports:
            out.print(table(made))
        out.print(Text(f"Written to {into}"))
    return status(report)


def write(report: BenchmarkReport, into: Path) -> None:
    """The four files."""
    (into / "bench.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    (into / "bench.md").write_text(markdown(report))
    paint(into, "bench", benchmark_figures(report), salt="bench")


def table(part: PartReport) -> Table:
    """The targets of one part."""
    shown = Table(title=part.title, title_justify="left", box=None)
    for name in ("", "bound", "median", "smallest to largest", ""):
        shown.add_column(name, justify="left" if not name else "right")
    for one in reached(part):
        shown.add_row(
            one.target.what, one.target.bound, figure(one.median),
            f"{figure(one.low)} to {figure(one.high)}",
            Text("met", "green") if one.met else Text("missed", "yellow"),
        )  # fmt: skip
    for target in unmeasured(part):
        shown.add_row(target.what, target.bound, "–", "", Text("not measured", "yellow"))
    for text in part.missing:
        shown.add_row(Text(text, "yellow"), "", "", "", "")
    for sample in wrong_samples(part):
        shown.add_row(Text(f"{sample.peer}: {sample.wrong}", "red"), "", "", "", Text("not exact"))
    return shown


def status(report: BenchmarkReport) -> int:
    """The exit status."""
    if any(wrong_samples(part) for part in report.parts) or any(
        not one.met for part in report.parts for one in reached(part)
    ):
        return 1
    return 2 if any(unmeasured(part) for part in report.parts) else 0


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
    }
