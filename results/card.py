"""The counterexample card: one order's timeline as swim lanes, for the terminal and the report.

Terminal: a table with one column per lane, the steps from top to bottom, numbered, with the
milliseconds since the first. Postgres' answer stands in its own lane, in the row of the statement
that it answers. While a statement waits, its lane is shaded. Below 100 columns the lanes do not
fit any more and the steps become a list. SVG: the same drawing for the report, through a template
that escapes everything; it has no script and takes its colours from the page (light or dark).
"""

from msgspec import Struct
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from results.steps import POSTGRES, SENDER, Kind, Step, Timeline

WIDE_COLUMNS = 100

_STYLES = {
    Kind.SEND: "cyan",
    Kind.REPLY: "cyan",
    Kind.STATEMENT: "",
    Kind.WAIT: "yellow",
    Kind.HOLD: "magenta",
    Kind.CRASH: "bold red",
    Kind.CALL: "dim",
    Kind.EFFECT: "bold",
}


class Card:
    """A rich renderable: `console.print(Card(timeline))`."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lanes where they fit, a list where they do not; the prose beneath either."""
        wide = options.max_width >= WIDE_COLUMNS and len(self.timeline.lanes) <= 6
        steps = _lanes(self.timeline, options.max_width) if wide else _listed(self.timeline)
        title = Text(f"{self.timeline.code}: order {self.timeline.order_id}", style="bold red")
        prose = [Text(f"  {sentence}") for sentence in self.timeline.prose]
        if prose:
            prose[-1].stylize("bold")
        yield Group(title, steps, *prose)


def _waiting(timeline: Timeline, lane: str, step: Step) -> str:
    """What a lane does between its own steps: waits for a lock (shaded), is held, or nothing."""
    for other in timeline.steps:
        inside = other.at_ns < step.at_ns < other.until_ns
        if other.lane == lane and inside and other.kind == Kind.HOLD:
            return "║ held"
        slow = other.kind == Kind.STATEMENT and waits(timeline, other)
        if other.lane == lane and inside and slow:
            return "▒▒▒▒▒▒▒▒▒▒"
    return ""


def waits(timeline: Timeline, step: Step) -> bool:
    """True when a wait was recorded for this statement (it has the same begin and end)."""
    return any(
        other.kind == Kind.WAIT
        and (other.at_ns, other.until_ns) == (step.at_ns, step.until_ns)
        and other.text.startswith(step.lane)
        for other in timeline.steps
    )


def _lanes(timeline: Timeline, width: int) -> Table:
    table = Table(
        width=min(width, 124), box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="bold"
    )
    table.add_column("#", justify="right", style="dim", width=2)
    table.add_column("ms", justify="right", style="dim", width=7)
    for lane in timeline.lanes:
        table.add_column(lane, ratio=3, overflow="fold")
    for step in timeline.steps:
        cells = [str(step.number), f"{timeline.offset_ms(step):.1f}"]
        rendered: list[str | Text] = [*cells]
        for lane in timeline.lanes:
            if lane == step.lane:
                rendered.append(Text(step.text, style=_STYLES[step.kind]))
            elif lane == POSTGRES and step.answer:
                bad = step.answer.startswith(("ERROR", "never", "no answer"))
                rendered.append(Text(f"← {step.answer}", style="red" if bad else "dim"))
            else:
                rendered.append(Text(_waiting(timeline, lane, step), style="yellow"))
        table.add_row(*rendered)
    return table


def _listed(timeline: Timeline) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for name in ("#", "ms"):
        table.add_column(name, justify="right", style="dim", no_wrap=True)
    table.add_column("who", no_wrap=True)
    table.add_column("what", overflow="fold")
    for step in timeline.steps:
        what = Text(step.text, style=_STYLES[step.kind])
        if step.answer:
            what.append(f" ← {step.answer}", style="dim")
        offset = f"{timeline.offset_ms(step):.1f}"
        table.add_row(str(step.number), offset, Text(step.lane), what)
    return table


# ------------------------------------------------------------------------------ the drawing

ROW, TOP, GUTTER, LANE = 30, 44, 74, 214


class Mark(Struct, frozen=True):
    """One step as the template draws it: a labelled box in its lane, in pixels."""

    number: int
    offset_ms: str
    kind: str
    x: int
    y: int
    label: str
    full: str
    answer: str
    bad: bool
    arrow_from: int
    arrow_to: int


class Shade(Struct, frozen=True):
    """A stretch of a lane in which its replica waited or was held."""

    kind: str
    x: int
    y: int
    height: int


class Drawing(Struct, frozen=True):
    """All that the SVG template needs; positions are pixels from the top left."""

    width: int
    height: int
    lanes: tuple[tuple[str, int], ...]
    postgres_x: int
    lane_width: int
    marks: tuple[Mark, ...]
    shades: tuple[Shade, ...]


def draw(timeline: Timeline) -> Drawing:
    """Lay a timeline out: one row per step, one column per lane."""
    centres = {lane: GUTTER + LANE * n + LANE // 2 for n, lane in enumerate(timeline.lanes)}
    postgres = centres.get(POSTGRES, 0)
    marks, shades = [], []
    for row, step in enumerate(timeline.steps):
        x, y = centres.get(step.lane, GUTTER), TOP + ROW * row + ROW // 2
        target = _arrow_target(step, centres, postgres)
        marks.append(
            Mark(
                number=step.number,
                offset_ms=f"{timeline.offset_ms(step):.1f}",
                kind=step.kind.value,
                x=x,
                y=y,
                label=clip(step.text, 32),
                full=step.sql or step.text,
                answer=clip(step.answer, 27),
                bad=step.answer.startswith(("ERROR", "never", "no answer")),
                arrow_from=x + (1 if target > x else -1) * (LANE // 2 - 5) if target else 0,
                arrow_to=target,
            )
        )
        held = step.kind == Kind.HOLD
        if held or (step.kind == Kind.STATEMENT and waits(timeline, step)):
            last = max(n for n, other in enumerate(timeline.steps) if other.at_ns <= step.until_ns)
            shades.append(
                Shade(
                    kind="held" if held else "waits",
                    x=x - LANE // 2 + 4,
                    y=y,
                    height=ROW * (last - row) + ROW // 2,
                )
            )
    return Drawing(
        width=GUTTER + LANE * len(timeline.lanes) + 8,
        height=TOP + ROW * len(timeline.steps) + 10,
        lanes=tuple(centres.items()),
        postgres_x=postgres,
        lane_width=LANE,
        marks=tuple(marks),
        shades=tuple(shades),
    )


def _arrow_target(step: Step, centres: dict[str, int], postgres: int) -> int:
    """Where a step's line ends: Postgres for a statement, the replica for a delivery."""
    if step.kind == Kind.STATEMENT and step.answer:
        return postgres - LANE // 2 + 5
    if step.lane == SENDER and step.kind == Kind.SEND:
        named = [x for lane, x in centres.items() if f"→ {lane}" in step.text]
        return named[0] - 5 if named else 0
    return 0


def clip(text: str, limit: int) -> str:
    """Shorten for a fixed width; the whole text stays in the tooltip."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
