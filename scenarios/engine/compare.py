"""`onceproof compare A B`: two stored runs side by side, read from their folders.

Neither run's folder changes; a chart of both is drawn where the caller wants it. The exit status is
the comparison's own.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from results.charts.percentiles import percentiles_figures
from results.charts.style import write
from results.comparison import Comparison, LatencyChange, compare
from results.interval import Interval
from results.run_folder import RunFolder
from results.wording import SIGNS
from scenarios.engine.show import consoles, say_json


def compare_and_show(
    before: str, after: str, runs: Path, charts: Path | None, *, as_json: bool
) -> int:
    """Compare run `after` with run `before`, its baseline; `percentiles` goes into `charts`."""
    left, right = (RunFolder.find(runs, name).load() for name in (before, after))
    comparison = compare(left, right)
    if charts is not None:
        figures = percentiles_figures([("before", left), ("after", right)])
        write(charts, "percentiles", figures, salt="compare")
    if as_json:
        say_json(comparison)
        return comparison.exit_status
    console, _ = consoles()
    console.print(comparison_table(comparison))
    for obstacle in comparison.obstacles:
        console.print(Text(f"? {obstacle}", style="yellow"), soft_wrap=True)
    for sentence in comparison.worse:
        console.print(Text(f"✗ {sentence}", style="red"), soft_wrap=True)
    if comparison.obstacles:
        console.print("Not comparable: nothing follows from the table above.")
    elif not comparison.worse:
        console.print("✓ Nothing is worse.")
    return comparison.exit_status


def comparison_table(comparison: Comparison) -> Table:
    """A line for everything that was found, measured or covered; before, after, what changed."""
    before, after = comparison.before, comparison.after
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("", before.run_id, after.run_id, "change"):
        table.add_column(title, overflow="fold")
    same = "same" if before.validity is after.validity else "differs"
    table.add_row("verdict", *(f"{SIGNS[side.validity]} {side.validity.value}"
                               for side in (before, after)), same)  # fmt: skip
    for code in comparison.codes:
        counts = ("not judged" if count is None else f"{count:,}"
                  for count in (code.before, code.after))  # fmt: skip
        table.add_row(f"{code.code} {code.name}", *counts, code.change)
    for finding in comparison.findings:
        changed = "same" if finding.before == finding.after else "differs"
        table.add_row(finding.name, f"{finding.before:,}", f"{finding.after:,}", changed)
    for row in latency_rows(comparison.latencies):
        table.add_row(*row)
    for figure in comparison.coverage:
        table.add_row(figure.name, figure.before, figure.after, "")
    return table


def latency_rows(latencies: Iterable[LatencyChange]) -> Iterable[Sequence[str]]:
    """`latency p99`, both values with their intervals, and whether these are apart."""
    for latency in latencies:
        words = "no difference shown"
        if latency.differs:
            slower = (latency.after.value_ms or 0) > (latency.before.value_ms or 0)
            words = "differs: slower" if slower else "differs: faster"
        title = f"latency p{latency.before.share * 100:g}, 95 %"
        yield title, interval_words(latency.before), interval_words(latency.after), words


def interval_words(measured: Interval) -> str:
    """`12.3 ms (11.9 to 12.8) of 600`; an open end is said to be open."""
    if measured.value_ms is None:
        return "not measured"
    low, high = (
        "open" if end is None else f"{end:,.1f}" for end in (measured.low_ms, measured.high_ms)
    )
    return f"{measured.value_ms:,.1f} ms ({low} to {high}) of {measured.count:,}"
