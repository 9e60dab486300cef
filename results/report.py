"""report.html: one file that opens anywhere, without network and without script.

The verdict comes first, then what weakens it, the counterexamples, what happened over time, the
promises, the coverage, the other charts (folded), and how the run was made. Everything that came
from outside (ids, SQL, names, errors) is escaped by the template; the only markup taken as it is,
is that of the charts there are in the run's folder, which matplotlib wrote and escaped itself. A
content policy in the page forbids every request. Light or dark follows the reader's system; on a
phone, wide drawings scroll inside their own panel.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from msgspec import Struct, to_builtins

from results.card import Drawing, draw
from results.charts.style import ON_A_PAGE
from results.records import Manifest
from results.run_folder import RunFolder, write_whole
from results.steps import Timeline
from results.verdict import Validity, Verdict
from results.wording import (
    PromiseRow,
    anomaly_words,
    bound_words,
    coverage_rows,
    faults_words,
    headline,
    promise_rows,
)

TEMPLATES = Path(__file__).with_name("templates")
CHARTS = {
    "timeline": "What was done to the service, and what came of its deliveries",
    "kills": "Which ways to end a replica hit a transaction",
    "latency": "How long the answers took meanwhile",
    "heatmap": "Every answer: when, and how slow",
    "percentiles": "How slow the slowest were",
    "generator": "Was the sender good enough to believe the rest?",
    "resources": "What the run used of its machine",
}
FOLDED = ("heatmap", "percentiles", "generator", "resources")
Entry = tuple[RunFolder, Verdict, Sequence[Timeline]]


class Pair(Struct, frozen=True):
    """A name and its value: one line of a table."""

    name: str
    value: str


class Remark(Struct, frozen=True):
    """A sentence, and what to do about it."""

    text: str
    knob: str


class FaultRow(Struct, frozen=True):
    """How many faults of one kind got how far."""

    name: str
    asked: int
    parked: int
    fired: int
    evidenced: int


class SloRow(Struct, frozen=True):
    """A service level objective: `status` is "clean" or "missed"."""

    status: str
    words: str


class CardView(Struct, frozen=True):
    """A counterexample, laid out."""

    code: str
    order_id: int
    drawing: Drawing
    prose: tuple[str, ...]


class ChartView(Struct, frozen=True):
    """A chart, ready to stand in the page."""

    heading: str
    svg: Markup


class Row(Struct, frozen=True):
    """A run's line in the table that compares several."""

    anomalies: str
    overlapping: str
    kills: str
    bound: str


class RunView(Struct, frozen=True, kw_only=True):
    """Everything that the template says of one run."""

    strategy: str
    scenario: str
    outcome: str
    headline: str
    subtitle: str
    basis: tuple[str, ...]
    row: Row
    promises: tuple[PromiseRow, ...]
    coverage: tuple[Pair, ...]
    faults: tuple[FaultRow, ...]
    slos: tuple[SloRow, ...]
    doubts: tuple[Remark, ...]
    findings: tuple[Remark, ...]
    cards: tuple[CardView, ...]
    charts: tuple[ChartView, ...]
    folded: tuple[ChartView, ...]
    manifest: tuple[Pair, ...]


class Page(Struct, frozen=True):
    """The whole file."""

    title: str
    runs: tuple[RunView, ...]


def write_report(folder: RunFolder, verdict: Verdict, timelines: Sequence[Timeline]) -> Path:
    """Write the report of one run into its folder, with the charts that it holds."""
    view = _view(folder, verdict, timelines)
    _write(Page(verdict.title or verdict.scenario, (view,)), folder.report)
    return folder.report


def write_demo_report(entries: Sequence[Entry], path: Path, title: str = "") -> Path:
    """Write several runs side by side: a table on top, then each run in full."""
    views = tuple(_view(folder, verdict, timelines) for folder, verdict, timelines in entries)
    title = title or " and ".join(dict.fromkeys(view.scenario for view in views))
    _write(Page(title, views), path)
    return path


def _write(page: Page, path: Path) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    html = environment.get_template("report.html.j2").render(page=page)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html.encode("utf-8", "replace"))


def _view(folder: RunFolder, verdict: Verdict, timelines: Sequence[Timeline]) -> RunView:
    coverage = verdict.coverage
    basis = [verdict.sentence]
    if verdict.validity is Validity.INVALID:
        fixes = dict.fromkeys(item.fix for item in verdict.anomalies if not item.implied_by)
        basis += [f"The usual cure: {fix}" for fix in list(fixes)[:3] if fix]
    faults = tuple(
        FaultRow(name.replace(":", " "), count.asked, count.parked, count.fired, count.evidenced)
        for name, count in sorted(coverage.faults.items())
    )
    return RunView(
        strategy=verdict.strategy,
        scenario=Path(verdict.scenario).stem,
        outcome=verdict.validity.value,
        headline=headline(verdict),
        subtitle=(
            f"{Path(verdict.scenario).stem} · {verdict.strategy} · provider {verdict.provider} "
            f"idempotency keys · seed {verdict.seed} · {verdict.run_id}"
        ),
        basis=tuple(basis),
        row=Row(
            anomaly_words(verdict),
            f"{coverage.overlapping_groups:,}",
            faults_words(coverage),
            bound_words(coverage),
        ),
        promises=tuple(promise_rows(verdict)),
        coverage=tuple(Pair(name, value) for name, value in coverage_rows(coverage)),
        faults=faults,
        slos=tuple(SloRow("clean" if one.met else "missed", one.words) for one in verdict.slos),
        doubts=tuple(Remark(doubt.message, doubt.knob) for doubt in verdict.doubts),
        findings=tuple(
            Remark(f"{item.name}, {item.count:,} times", item.message) for item in verdict.findings
        ),
        cards=tuple(
            CardView(item.code, item.order_id, draw(item), item.prose) for item in timelines
        ),
        charts=tuple(_charts(folder, [name for name in CHARTS if name not in FOLDED])),
        folded=tuple(_charts(folder, FOLDED)),
        manifest=tuple(_manifest_rows(folder.read_manifest())),
    )


def _charts(folder: RunFolder, names: Iterable[str]) -> Iterator[ChartView]:
    """Those of these charts that the run has."""
    for name in names:
        path = folder.charts / f"{name}.svg"
        if path.exists():
            yield ChartView(CHARTS[name], inline_svg(path, CHARTS[name]))


def inline_svg(path: Path, label: str) -> Markup:
    """A chart's SVG as a part of a page: the page's own colours, nothing that only a file needs."""
    svg = path.read_text("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg([^>]*?) (?:width|height)="[^"]*"', r"<svg\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    named = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in named else "", svg)
    for colour, variable in ON_A_PAGE.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)


def _manifest_rows(manifest: Manifest) -> list[Pair]:
    """Every field of the manifest, nested ones by their path."""
    rows: list[Pair] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif isinstance(value, list):
            rows.append(Pair(prefix, ", ".join(str(item) for item in value)))
        else:
            rows.append(Pair(prefix, str(value)))

    walk("", to_builtins(manifest))
    return rows
