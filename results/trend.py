"""The trend over commits: what each cell came to, commit by commit, in one file of lines.

`trend.jsonl` has one line for each commit and cell (strategy, scenario, provider, seed): the
verdict and how it stands to what was expected, the codes, and the latencies with their intervals. A
commit that is published again takes the place of its own lines. The order of commits is that in
which they were first published. What cannot be read (a torn last line, somebody else's) is left
out and told, never fatal: a trend is worth less than the verdict of today.

Absolute times of two commits are of two machines, or of two moods of one, so they are not compared:
a latency is shown as its ratio to that of a reference strategy in the same matrix, under the same
scenario, provider and seed, and not at all where one of the two proved nothing: its sender may have
been late. The ratio's interval is the widest that the two intervals allow; where one of them is
open, so is the ratio's.

Limits: the newest `COMMITS_MAX` commits and at most `LINES_MAX` lines; a file beyond
`FILE_MAX_BYTES` is none of ours.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from results.errors import ConfigError
from results.expectation import State
from results.interval import Interval
from results.run_folder import write_whole
from results.verdict import Validity

FORMAT_VERSION = 1
COMMITS_MAX = 200
LINES_MAX = 20_000
FILE_MAX_BYTES = 64 << 20
TOLD_MAX = 3
CellKey = tuple[str, str, str, int]
"""Strategy, scenario, provider, seed."""


class TrendLine(Struct, frozen=True, kw_only=True):
    """What one cell came to at one commit; times in ms, None where nothing was measured."""

    format_version: int = FORMAT_VERSION
    commit: str
    at_utc: str
    strategy: str
    scenario: str
    provider: str
    seed: int
    validity: Validity
    state: State
    expected: str = ""  # "A1 A8 (A5)", "valid"; "": nobody said
    codes: dict[str, int] = field(default_factory=dict)  # code -> how many
    causes: tuple[str, ...] = ()  # of an unknown one
    reference: str = ""  # the strategy whose latencies stand for 1; "": none
    p50: Interval | None = None
    p99: Interval | None = None
    deliveries_per_second: float | None = None

    @property
    def cell(self) -> CellKey:
        """What is followed from commit to commit."""
        return self.strategy, self.scenario, self.provider, self.seed

    @property
    def words(self) -> str:
        """`article × distinct_ids (honours, seed 1)`."""
        return f"{self.strategy} × {self.scenario} ({self.provider}, seed {self.seed})"

    @property
    def found(self) -> str:
        """`invalid A1 A8`, `unknown late-generator`, `valid`."""
        codes = sorted(self.codes, key=lambda code: (len(code), code))
        return " ".join([self.validity.value, *(codes or self.causes)])


class Change(Struct, frozen=True, kw_only=True):
    """A verdict, or how it stands to what was expected, is not what it was before."""

    before: TrendLine
    after: TrendLine

    @property
    def sentence(self) -> str:
        """`article × storm (honours, seed 1): invalid A1, was valid at 1a2b3c4 (differs)`."""
        was = f"was {self.before.found} at {short(self.before.commit)}"
        return f"{self.after.words}: {self.after.found} ({self.after.state.value}), {was}"


class Ratio(Struct, frozen=True, kw_only=True):
    """A latency as a multiple of the reference's; None for an end that is open."""

    value: float
    low: float | None
    high: float | None


class Trend:
    """All lines there are, in the order of their commits."""

    def __init__(self, lines: Iterable[TrendLine] = ()) -> None:
        self._lines: dict[tuple[str, CellKey], TrendLine] = {}
        self.commits: list[str] = []  # the oldest first
        self.add(lines)

    def add(self, lines: Iterable[TrendLine]) -> None:
        """Put lines in the place of those of the same commit and cell, else at the end; then
        forget what is older than the limits allow."""
        for line in lines:
            self._lines[line.commit, line.cell] = line
        by_commit: dict[str, list[TrendLine]] = defaultdict(list)
        for line in self._lines.values():
            by_commit[line.commit].append(line)
        kept: list[TrendLine] = []
        for commit in list(reversed(by_commit))[:COMMITS_MAX]:
            if kept and len(kept) + len(by_commit[commit]) > LINES_MAX:
                break
            kept = (by_commit[commit] + kept)[-LINES_MAX:]
        self._lines = {(line.commit, line.cell): line for line in kept}
        self.commits = list(dict.fromkeys(line.commit for line in kept))

    @property
    def lines(self) -> list[TrendLine]:
        """Commit by commit."""
        return list(self._lines.values())

    def at(self, commit: str, cell: CellKey) -> TrendLine | None:
        """What a cell came to at a commit."""
        return self._lines.get((commit, cell))

    def before(self, line: TrendLine) -> TrendLine | None:
        """The line of the same cell at the last commit before this one's that has it."""
        for commit in reversed(self.commits[: self.commits.index(line.commit)]):
            if found := self.at(commit, line.cell):
                return found
        return None

    def change(self, line: TrendLine) -> Change | None:
        """Whether the verdict is another one than before, or stands otherwise."""
        before = self.before(line)
        if before is None or (before.validity, before.state) == (line.validity, line.state):
            return None
        return Change(before=before, after=line)

    def changes(self, commit: str) -> list[Change]:
        """All that a commit changed."""
        found = (self.change(line) for line in self.lines if line.commit == commit)
        return [change for change in found if change is not None]

    def ratio(self, line: TrendLine, share: float) -> Ratio | None:
        """A percentile (0.5 or 0.99) as a multiple of the reference's; None without one."""
        if not line.reference or line.strategy == line.reference:
            return None
        reference = self.at(line.commit, (line.reference, line.scenario, line.provider, line.seed))
        if reference is None or State.UNKNOWN in (line.state, reference.state):
            return None
        ours, theirs = (one.p50 if share == 0.50 else one.p99 for one in (line, reference))
        if ours is None or theirs is None:
            return None
        value = _over(ours.value_ms, theirs.value_ms)
        if value is None:
            return None
        low, high = _over(ours.low_ms, theirs.high_ms), _over(ours.high_ms, theirs.low_ms)
        return Ratio(value=value, low=low, high=high)


def read_trend(path: Path) -> tuple[Trend, list[str]]:
    """The trend in a file, and what of it was left out, in words; a missing file has none.

    ConfigError where it is no file of ours at all.
    """
    if not path.exists():
        return Trend(), []
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ConfigError(
                f"{path} is larger than {FILE_MAX_BYTES >> 20} MiB, so it is no trend of "
                "onceproof. Move it away, or choose another --site."
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Move it away.") from error
    lines, problems = [], []
    for number, text in enumerate(content.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=TrendLine)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"line {number}: {error}")
            continue
        if line.format_version > FORMAT_VERSION:
            problems.append(f"line {number}: its format {line.format_version} is a newer one")
            continue
        lines.append(line)
    if not problems:
        return Trend(lines), []
    told = "; ".join(problems[:TOLD_MAX])
    more = f"; and {len(problems) - TOLD_MAX} more" if len(problems) > TOLD_MAX else ""
    count = f"{len(problems)} line{'s' * (len(problems) > 1)} of {path.name}"
    return Trend(lines), [f"{count} could not be read and was left out ({told}{more})."]


def write_trend(path: Path, trend: Trend) -> None:
    """Replace the file in one step."""
    write_whole(path, b"".join(msgspec.json.encode(line) + b"\n" for line in trend.lines))


def benchmark_rows(trend: Trend, lines: Sequence[TrendLine]) -> list[dict[str, str | float]]:
    """Latency ratios as benchmark-action/github-action-benchmark takes them, with its tool
    `customSmallerIsBetter`."""
    rows: list[dict[str, str | float]] = []
    for line in lines:
        for share, name in ((0.50, "p50"), (0.99, "p99")):
            if ratio := trend.ratio(line, share):
                row: dict[str, str | float] = {
                    "name": f"{name} {line.words}", "unit": f"× {line.reference}",
                    "value": round(ratio.value, 3), "extra": line.found,
                }  # fmt: skip
                if ratio.low is not None and ratio.high is not None:
                    row["range"] = f"{ratio.low:.3f} to {ratio.high:.3f}"
                rows.append(row)
    return rows


def short(commit: str) -> str:
    """A commit's name as people write it."""
    return commit[:7]


def _over(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole and part > 0 and whole > 0 else None
