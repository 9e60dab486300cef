"""A static site of stored results: one page, the reports it links to, and the trend over commits.

`index.html` needs nothing outside itself: it opens from a folder, on GitHub Pages, without script
and without network, light or dark. It says first what differs from what was expected, then what
changed since the commit before, then the matrix, the trend and every number. Around it lie the
reports and charts of the runs (`runs/`), the trend and its picture, and `benchmark.json` for
benchmark-action/github-action-benchmark.

Publishing again replaces what lay there, `trend.jsonl` aside, which is carried on. A folder that
holds somebody else's page is refused. Red is reserved for what differs. Limits: those of
`results/site_files.py`; the reports of what differs are copied first.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from results.charts.style import write
from results.charts.trend import trend_numbers
from results.errors import ConfigError, HarnessError
from results.expectation import State
from results.interval import Interval
from results.report import TEMPLATES, inline_svg
from results.run_folder import write_whole
from results.site_files import SiteFiles
from results.summary import inline
from results.trend import (
    Change,
    Ratio,
    Trend,
    TrendLine,
    benchmark_rows,
    read_trend,
    short,
    write_trend,
)
from results.verdict import Validity

MARK = '<meta name="generator" content="onceproof">'
URGENCY = (State.DIFFERS, State.UNKNOWN, State.NOT_IN_TABLE, State.AS_EXPECTED)
CLASSES = {State.DIFFERS: "differs", State.UNKNOWN: "open", State.NOT_IN_TABLE: "stray",
           State.AS_EXPECTED: "expected"}  # fmt: skip

GROUPS = (
    (State.DIFFERS, "Not as expected"),
    (State.UNKNOWN, "Proved nothing"),
)


class Tile(Struct, frozen=True, kw_only=True):
    """One cell of a table: what stands in it, how it stands, and the run behind it."""

    text: str
    state: State
    run: Path | None


class Table(Struct, frozen=True, kw_only=True):
    """A title, the columns' names, and rows that begin with a name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile | None, ...]], ...]


class MatrixPart(Struct, frozen=True, kw_only=True):
    """One matrix: its finding, its counts, a table for each provider, and its pictures."""

    title: str
    counts: str
    tables: tuple[Table, ...]
    pictures: tuple[Path, ...]


class Entry(Struct, frozen=True, kw_only=True):
    """One result: its line of the trend, its run's folder if there is one, and what to know."""

    line: TrendLine
    run: Path | None
    words: str


class Publication(Struct, frozen=True, kw_only=True):
    """All that is published at once, of one commit."""

    commit: str
    onceproof: str
    matrices: tuple[MatrixPart, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


class Published(Struct, frozen=True, kw_only=True):
    """What came of it: for the terminal and for a job's summary."""

    index: Path
    headline: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def markdown(self) -> str:
        """The same for a CI job's summary."""
        lines = ["## onceproof: what was published", "", f"**{inline(self.headline)}**", ""]
        lines += [f"- changed: {inline(change.sentence)}" for change in self.changes]
        lines += [f"- note: {inline(note)}" for note in self.notes]
        return "\n".join([*lines, ""])


def write_site(site: Path, publication: Publication) -> Published:
    """Write the whole site into a folder, which is made when it is missing.

    ConfigError: the folder is somebody else's. HarnessError: it cannot be written.
    """
    _claim(site)
    trend, notes = read_trend(site / "trend.jsonl")
    lines = [entry.line for entry in publication.entries]
    trend.add(lines)
    try:
        site.mkdir(parents=True, exist_ok=True)
        files = _copied(site, publication)
        published = Published(
            index=site / "index.html",
            headline=headline(lines),
            changes=tuple(trend.changes(publication.commit)),
            notes=(*publication.notes, *notes, *files.finish()),
        )
        write_trend(site / "trend.jsonl", trend)
        rows = msgspec.json.encode(benchmark_rows(trend, lines))
        write_whole(site / "benchmark.json", msgspec.json.format(rows) + b"\n")
        _, svg, _ = write(site, "trend", trend_numbers(trend), salt="trend")
        drawing = inline_svg(svg, "The trend over commits")
        page = _page(publication, published, trend, files, drawing)
        write_whole(published.index, page.encode("utf-8", "replace"))
        write_whole(site / "summary.md", published.markdown.encode("utf-8", "replace"))
    except OSError as error:
        raise HarnessError(
            f"The site could not be written: {error}. Free some space, or choose another --site."
        ) from error
    return published


def headline(lines: Sequence[TrendLine]) -> str:
    """The finding in one sentence: what differs comes first."""
    states = Counter(line.state for line in lines)
    verdicts = Counter(line.validity for line in lines)
    total = f"{len(lines)} result{'s' * (len(lines) != 1)}"
    if states[State.DIFFERS]:
        return f"{states[State.DIFFERS]} of {total} not as expected"
    if states[State.AS_EXPECTED] == len(lines):
        return f"{total}, {'each ' * (len(lines) != 1)}as expected"
    counts = (f"{verdicts[one]} {one.value}" for one in Validity if verdicts[one])
    return f"{total}: {', '.join(counts)}"


def _claim(site: Path) -> None:
    """ConfigError where publishing would overwrite what is not ours."""
    index = site / "index.html"
    try:
        ours = MARK in index.read_text("utf-8", "replace") if index.exists() else None
    except OSError:
        ours = False
    if (site.exists() and not site.is_dir()) or ours is False:
        raise ConfigError(
            f"{site} holds something else than a site of onceproof. Choose another --site."
        )
    if ours is None and (site / "runs").exists():
        raise ConfigError(
            f"{site / 'runs'} is no part of a site of onceproof and would be replaced. Choose "
            "another --site."
        )


def _copied(site: Path, publication: Publication) -> SiteFiles:
    files = SiteFiles(site)
    for matrix in publication.matrices:
        files.take_pictures(matrix.pictures)
    for entry in sorted(publication.entries, key=lambda one: URGENCY.index(one.line.state)):
        if entry.run is not None:
            files.take_run(entry.run)
    return files


def _page(
    publication: Publication, published: Published, trend: Trend, files: SiteFiles, chart: Markup
) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"short": short, "measured": measured, "times": times}
    return environment.get_template("site.html.j2").render(
        mark=Markup(MARK),
        publication=publication,
        published=published,
        groups=[(title, found) for state, title in GROUPS
                if (found := [one for one in publication.entries if one.line.state is state])],
        known=trend.commits,
        classes=CLASSES,
        href=files.href,
        report=lambda run: files.href(run / "report.html") if run else "",
        ratio=trend.ratio,
        chart=chart,
    )  # fmt: skip


def measured(percentile: Interval | None) -> str:
    """`12.3 (11.9 to 12.8)` in ms; an end that is open is left out."""
    if percentile is None or percentile.value_ms is None:
        return "–"
    return f"{percentile.value_ms:,.1f} {_ends(percentile.low_ms, percentile.high_ms, 1)}"


def times(ratio: Ratio | None) -> str:
    """`1.31 (1.12 to 1.55)`."""
    if ratio is None:
        return "–"
    return f"{ratio.value:,.2f} {_ends(ratio.low, ratio.high, 2)}"


def _ends(low: float | None, high: float | None, digits: int) -> str:
    ends = ("…" if end is None else f"{end:,.{digits}f}" for end in (low, high))
    return f"({' to '.join(ends)})"
