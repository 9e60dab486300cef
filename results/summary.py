"""A verdict in brief: the table on the terminal, and Markdown for a CI job's summary.

Markdown of a job summary is rendered with HTML allowed, so names and messages are escaped here.
GitHub cuts a summary at 1 MiB; the counterexamples are limited far below that.
"""

import html
import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from results.junit import timeline_text
from results.latency import Second
from results.records import Manifest
from results.steps import Timeline
from results.verdict import Validity, Verdict
from results.wording import SIGNS, anomaly_words, bound_words, faults_words, headline

STYLES = {
    Validity.VALID: "bold green",
    Validity.INVALID: "bold red",
    Validity.UNKNOWN: "bold yellow",
}
TIMELINES_MAX = 5
CHART_SECONDS_MAX = 120


def verdict_table(runs: Sequence[tuple[Manifest, Verdict]]) -> Table:
    """One line per run: what was judged, the verdict, and what backs it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("strategy", no_wrap=True)
    table.add_column("scenario", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("anomalies", overflow="fold", min_width=24)
    table.add_column("overlapping\ngroups", justify="right")
    table.add_column("faults asked / parked\n/ fired / evidenced", no_wrap=True)
    table.add_column("95 % bound", no_wrap=True)
    with_slos = any(verdict.slos for _, verdict in runs)
    if with_slos:
        table.add_column("SLO", overflow="fold")
    for manifest, verdict in runs:
        sign = f"{SIGNS[verdict.validity]} {verdict.validity.value}"
        what = Text(anomaly_words(verdict).replace(", ", "\n"))
        if verdict.validity is Validity.UNKNOWN and verdict.doubts:
            what = Text("\n".join(doubt.cause for doubt in verdict.doubts))
        table.add_row(
            Text(manifest.strategy),
            Text(manifest.scenario),
            Text(sign, style=STYLES[verdict.validity]),
            what,
            f"{verdict.coverage.overlapping_groups:,}",
            faults_words(verdict.coverage),
            bound_words(verdict.coverage),
            *[slo_text(verdict)] * with_slos,
        )
    return table


def slo_text(verdict: Verdict) -> Text:
    """One line per objective: met or missed. Yellow, for no promise is broken."""
    return Text("\n").join(
        Text(f"{'✓' if result.met else '✗'} {result.slo.words}",
             style="" if result.met else "bold yellow")
        for result in verdict.slos
    )  # fmt: skip


def markdown_summary(runs: Sequence[tuple[Verdict, Sequence[Timeline]]]) -> str:
    """Verdict lines, one table, then doubts and counterexamples folded away."""
    lines = ["## onceproof", ""]
    for verdict, _ in runs:
        sign = SIGNS[verdict.validity]
        lines += [f"**{sign} {verdict.validity.value}**: {inline(headline(verdict))}", ""]
    lines += [
        "| strategy | scenario | verdict | anomalies | overlapping groups "
        "| faults asked / parked / fired / evidenced | 95 % bound |",
        "|---|---|---|---|---:|---|---|",
    ]
    for verdict, _ in runs:
        coverage = verdict.coverage
        cells = [
            verdict.strategy,
            verdict.scenario,
            verdict.validity.value,
            anomaly_words(verdict),
            f"{coverage.overlapping_groups:,}",
            faults_words(coverage),
            bound_words(coverage),
        ]
        lines.append(f"| {' | '.join(inline(cell) for cell in cells)} |")
    lines.append("")
    for verdict, timelines in runs:
        for result in verdict.slos:
            lines.append(f"- {inline(verdict.strategy)}: SLO {inline(result.words)}")
        for doubt in verdict.doubts:
            lines.append(
                f"- {inline(verdict.strategy)}: {inline(doubt.message)} {inline(doubt.knob)}"
            )
        for timeline in timelines[:TIMELINES_MAX]:
            title = f"{verdict.strategy}: {timeline.code}, order {timeline.order_id}"
            text = html.escape(timeline_text(timeline), quote=False)
            lines += ["", f"<details><summary>{inline(title)}</summary>", ""]
            # A blank line would end the HTML block, and what follows would be Markdown again.
            lines += [f"<pre>{re.sub(chr(10) + '{2,}', chr(10), text)}</pre>", "</details>"]
    return "\n".join(lines) + "\n"


def latency_chart(seconds: Sequence[Second]) -> str:
    """A Mermaid chart for the same page, which shows no picture from a file; empty without data."""
    shown = [second for second in seconds if second.p99_ms is not None][:CHART_SECONDS_MAX]
    if len(shown) < 2:
        return ""
    lines = ", ".join(f"{second.p99_ms or 0:.1f}" for second in shown)
    middle = ", ".join(f"{second.p50_ms or 0:.1f}" for second in shown)
    labels = ", ".join(str(second.second) for second in shown)
    return (
        "\n```mermaid\nxychart-beta\n"
        '  title "latency of acknowledged deliveries, p99 and p50, second by second"\n'
        f"  x-axis [{labels}]\n"
        f'  y-axis "ms from the intended send"\n  line [{lines}]\n  line [{middle}]\n```\n'
    )


def inline(text: str) -> str:
    """One line of a Markdown cell: no HTML, no column, no link, no mark-up."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([|\\`*\[\]!])", r"\\\1", escaped)
