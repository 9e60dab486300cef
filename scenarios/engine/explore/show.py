"""What `explore` and `replay` show: a table of cells, the smallest schedules, one JSON document."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.anomalies.catalogue import CATALOGUE
from results.errors import ConfigError
from results.records import Thresholds
from scenarios.engine.catalog import unknown
from scenarios.engine.config import ServiceConfig, find_config, load_config
from scenarios.engine.explore.crash_points import show_crash_points
from scenarios.engine.explore.exploration import explore
from scenarios.engine.explore.explored import Exploration, Explored
from scenarios.engine.explore.moves import CALL, NAMES, Ids, Move, Row, Schedule, Where
from scenarios.engine.explore.replay import Replay, replay
from scenarios.engine.explore.walk import Bounds
from scenarios.engine.plan import RunPlan
from scenarios.engine.progress import progress
from scenarios.engine.scenario import Scenario
from scenarios.engine.show import consoles, pick_strategy, say_json

DEATHS = {
    "die-before": "✗ dies before: {at}",
    "die-after": "✗ dies, and this is done all the same: {at}",
    "die-unanswered": "✗ dies unaware that this was done: {at}",
}
LANE_COLUMNS = 46
SHOWN_CODES = 3  # of a cell's codes, as schedules; the files hold all


def planned(
    config: ServiceConfig, strategy: str, provider: str, seed: int, runs: Path,
    database_url: str | None, name: str,
) -> RunPlan:  # fmt: skip
    """A run without traffic of its own: the schedules are all there is."""
    return RunPlan(
        name=name, scenario=Scenario(title=f"{name}: every order of steps", needs=Thresholds()),
        config=config, strategy=strategy, provider=provider, seed=seed, runs=runs,
        database_url=database_url,
    )  # fmt: skip


def cells(
    config: ServiceConfig, strategy: str, provider: str, *, ids: str, row: str, deliveries: int,
    crashes: int, one_process: bool = False, cancelled: bool = False,
) -> list[Where]:  # fmt: skip
    """The kinds of schedules that are asked for; a row needs somebody who makes it."""
    if cancelled and (config.service.cancel_webhook is None or one_process):
        raise ConfigError(
            "--cancelled needs cancel_webhook in onceproof.toml, and a process for each delivery: "
            "say where orders/cancelled goes, and leave --one-process out."
        )
    makes_rows = config.service.create_webhook is not None or config.service.seed is not None
    rows: tuple[Row, ...] = ("present", "absent") if makes_rows else ("absent",)
    kinds: tuple[Ids, ...] = ("distinct", "same")
    return [
        Where(strategy=strategy, provider=provider, ids=kind, row=has, deliveries=deliveries,
              crashes=crashes, one_process=one_process, cancelled=cancelled)
        for kind in kinds if ids in (kind, "both")
        for has in rows if row in (has, "both")
    ]  # fmt: skip


async def explore_and_show(
    config_path: Path | None, strategies: Sequence[str], provider: str, seed: int, runs: Path, *,
    ids: str, row: str, deliveries: int, crashes: int, one_process: bool, cancelled: bool,
    bounds: Bounds, database_url: str | None, as_json: bool, crash_points: bool,
) -> int:  # fmt: skip
    """Explore each strategy; the worst of their exit statuses: invalid, then unknown."""
    config = load_config(find_config(config_path))
    if "all" in strategies and config.strategies:
        strategies = list(config.strategies)
    names = [pick_strategy(config, one) for one in (strategies or (None,))]
    console, aside = consoles()
    done = []
    for name in names:
        plan = planned(config, name, provider, seed, runs, database_url, "explore")
        wheres = cells(
            config, name, provider, ids=ids, row=row, deliveries=deliveries, crashes=crashes,
            one_process=one_process, cancelled=cancelled,
        )  # fmt: skip
        if not wheres:
            raise unknown("row", row, ["absent"])
        with progress(aside, f"explore × {name} (seed {seed})") as watch:
            found = await explore(plan, wheres, bounds, watch)
        done.append(found)
        files = found.write()
        if crash_points and not as_json:
            bundle = found.folder.load()
            for cell in found.cells:
                show_crash_points(console, cell, bundle)
        elif not as_json:
            show(console, found, files, smallest=len(names) == 1)
    if as_json:
        say_json([one.as_json() for one in done] if len(done) > 1 else done[0].as_json())
    statuses = [one.validity.exit_status for one in done]
    return 1 if 1 in statuses else max(statuses)


def show(console: Console, found: Exploration, files: dict[str, str], *, smallest: bool) -> None:
    """A row for each cell, then the smallest schedule of each code."""
    table = Table(box=None, title_justify="left", pad_edge=False)
    for column in ("strategy", "ids", "row", "schedules", "found", "which means"):
        table.add_column(column, justify="right" if column == "schedules" else "left")
    for cell in found.cells:
        codes = ", ".join(f"{code} in {count}" for code, count in cell.codes.items()) or "nothing"
        style = "red" if cell.codes else "green" if cell.exhaustive else "yellow"
        table.add_row(
            cell.where.strategy, cell.where.ids, cell.where.row, str(len(cell.schedules)),
            Text(codes, style=style), meaning(cell),
        )  # fmt: skip
    console.print(table)
    if smallest:
        told: set[str] = set()
        for cell in found.cells:
            for code in [code for code in cell.codes if code not in told][:SHOWN_CODES]:
                told.add(code)
                name = files[f"{cell.where.ids} {cell.where.row} {code}"]
                show_schedule(console, code, cell.smallest(code), found.folder.path / name)
    if not found.settled:
        console.print("unknown: something still moved when the patience ended", style="yellow")
    for one in found.not_judged:
        console.print(f"not judged: {one.code} {one.name}, {one.reason}", soft_wrap=True)
    console.print(f"schedules and records: {found.folder.path}", soft_wrap=True)


def meaning(cell: Explored) -> str:
    """What the number of schedules stands for."""
    who = f"{cell.where.deliveries} deliveries"
    who += " in one process" if cell.where.one_process else ""
    who += ", one cancels" if cell.where.cancelled else ""
    who += f", {cell.where.crashes} may die" if cell.where.crashes else ""
    parts = ["all there are" if cell.exhausted else "not all there are: see --schedules"]
    if cell.preemptions_max is not None:
        parts = [f"all with at most {cell.preemptions_max} preemptions"]
    elif cell.exhausted and cell.reduced:
        parts = ["one for all that cannot differ"]
    if cell.silent:
        parts.append(f"not exhaustive: {cell.silent} silent steps")
    if cell.beside:
        parts.append(f"not exhaustive: {cell.beside} times one delivery had two steps at once")
    if cell.unsure:
        parts.append(f"not exhaustive: {cell.unsure} steps that could be of either delivery")
    if cell.late:
        parts.append(f"not exhaustive: in {cell.late} the service went on when all were answered")
    if cell.early_codes:
        parts.append(f"{', '.join(cell.early_codes)} in plays that were ended early: try --full")
    if cell.unresolved:
        parts.append(f"not exhaustive: in {cell.unresolved} a delivery was never acknowledged")
    if cell.divergences:
        parts.append(f"not exhaustive: {cell.divergences} divergences")
    if cell.refused:
        parts.append(f"a 5xx in {cell.refused}")
    return f"{who}; {'; '.join(parts)}; {cell.seconds:.1f} s"


def show_schedule(console: Console, code: str, schedule: Schedule, file: Path) -> None:
    """The moves as lanes, one for each delivery."""
    many = "s" * (schedule.preemptions != 1)
    console.print()
    console.print(
        Text(
            f"{code} {CATALOGUE[code].name}: the smallest schedule "
            f"({schedule.preemptions} preemption{many}, {len(schedule.moves)} moves; "
            f"{schedule.where.words})",
            style="bold red",
        )
    )
    lanes = Table(box=None, pad_edge=False, show_header=True)
    lanes.add_column("", justify="right", style="dim")
    for index in range(schedule.where.deliveries):
        lanes.add_column(f"delivery {NAMES[index]}", width=LANE_COLUMNS, no_wrap=True)
    for step, move in enumerate(schedule.moves, 1):
        row = [Text("")] * schedule.where.deliveries
        row[move.actor] = drawn(move)
        lanes.add_row(str(step), *row)
    answers = [Text(f"→ {'no answer' if one is None else one}", style="cyan")
               for one in schedule.statuses]  # fmt: skip
    lanes.add_row("", *answers)
    console.print(lanes)
    console.print(f"again: onceproof replay {file}", soft_wrap=True)


def drawn(move: Move) -> Text:
    """One move as a lane shows it."""
    if move.do == "start":
        return Text("(delivered)", style="cyan")
    if move.dies:
        return Text(DEATHS[move.do].format(at=move.at), style="bold red")
    return Text(move.at, style="bold" if move.at == CALL else "")


async def replay_and_show(
    file: Path, times: int, config_path: Path | None, seed: int, runs: Path, *,
    database_url: str | None, as_json: bool, mended: bool,
) -> int:  # fmt: skip
    """Play a stored schedule again; 0 if every play led to the stored codes, else 1.

    `mended`: 0 if no play led to any code.
    """
    schedule = Schedule.read(file)
    config = load_config(find_config(config_path))
    where = schedule.where
    strategy = pick_strategy(config, where.strategy if config.strategies else None)
    plan = planned(config, strategy, where.provider, seed, runs, database_url, "replay")
    console, aside = consoles()
    with progress(aside, f"replay × {strategy}, {times} times") as watch:
        found = await replay(plan, schedule, times, watch, mended=mended)
    if as_json:
        say_json(
            {"run": str(found.folder.path), "played": found.played, "same": found.same,
             "clean": found.clean, "codes": found.codes, "expected": schedule.codes,
             "diverged": found.diverged}
        )  # fmt: skip
    else:
        show_replay(console, found, times, mended=mended)
    return 0 if (found.clean if mended else found.same) == times else 1


def show_replay(console: Console, found: Replay, times: int, *, mended: bool) -> None:
    """How many plays led to what was expected, to what others did, and why some were not ended."""
    expected = () if mended else found.schedule.codes
    good = found.codes.count(expected)
    words = "to nothing wrong" if mended else f"to {', '.join(expected) or 'no code'} again"
    console.print(
        Text(f"{good} of {times} plays led {words}", style="green" if good == times else "red")
    )
    for other in sorted(set(found.codes) - {expected}):
        count = found.codes.count(other)
        console.print(f"{count} of them to {', '.join(other) or 'no code'} instead")
    for why in found.diverged:
        console.print(f"diverged, {why}", soft_wrap=True)
    console.print(f"records: {found.folder.path}", soft_wrap=True)
