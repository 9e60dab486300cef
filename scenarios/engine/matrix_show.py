"""`onceproof matrix`: picks what is run, runs it, and shows it to whoever has to act on it.

First the table, then what is not as expected, then every broken promise with the path of its
report. matrix.json, matrix.md and the heat map say the same and lie in the matrix's folder; what
each strategy costs (price) is drawn beside them.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.charts.matrix import Tile, draw_heat_map
from results.charts.price import price_figures
from results.charts.style import write
from results.errors import ConfigError
from results.expectation import State
from results.run_folder import write_whole
from results.summary import STYLES, inline
from results.verdict import Validity
from results.wording import SIGNS
from scenarios.engine.catalog import load_scenario, shipped, unknown
from scenarios.engine.config import OWN_CONFIG, find_config, load_config
from scenarios.engine.expected import ALL_VALID, read_expected
from scenarios.engine.matrix import MatrixPlan, run_matrix
from scenarios.engine.outcome import JudgedCell, Outcome, weigh
from scenarios.engine.progress import progress
from scenarios.engine.scenario import Scenario
from scenarios.engine.show import consoles, pick_strategy, say_json

PROVIDERS = ("honours", "ignores")
LONG_SECONDS = 300.0


async def matrix_and_show(
    strategies: Sequence[str], scenarios: Sequence[str], providers: Sequence[str],
    config_path: Path | None, seed: int, seeds: int, runs: Path, jobs: int | None,
    *, fresh: bool, keep: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run the matrix, write its files, show them."""
    for provider in set(providers).difference(PROVIDERS):
        raise unknown("provider", provider, PROVIDERS)
    path = find_config(config_path)
    config = load_config(path)
    own = path.resolve() == OWN_CONFIG.resolve()
    names = strategies or list(config.strategies) or [pick_strategy(config, None)]
    plan = MatrixPlan(
        strategies=tuple(dict.fromkeys(pick_strategy(config, name) for name in names)),
        scenarios=_scenarios(scenarios) if scenarios else _short(_scenarios(list(shipped()))),
        # A service that takes no provider's address has none that could honour a key.
        providers=tuple(providers or PROVIDERS) if config.service.provider_from else ("honours",),
        seeds=tuple(range(seed, seed + seeds)),
        config_path=path,
        config=config,
        runs=runs,
        jobs=jobs or max(1, _cores() // 2),
        fresh=fresh,
        keep=keep,
        expected=read_expected() if own else ALL_VALID,
    )
    console, aside = consoles()
    folder = plan.folder()
    with progress(aside, "matrix") as watch:
        results = await run_matrix(plan, folder, watch)
        watch("drawing the charts")
        outcome = weigh(plan, folder, results)
        write_outputs(folder, outcome)
    if as_json:
        say_json(outcome)
    else:
        show(console, folder, outcome)
    return outcome.exit_status


def write_outputs(folder: Path, outcome: Outcome) -> None:
    """matrix.json, matrix.md, the heat map and the price of each strategy."""
    write_whole(folder / "matrix.json", msgspec.json.format(msgspec.json.encode(outcome)) + b"\n")
    write_whole(folder / "matrix.md", markdown(outcome).encode())
    draw_heat_map(
        folder, outcome.title, outcome.strategies, outcome.scenarios,
        {panel(provider): outcome.tiles(provider) for provider in outcome.providers},
    )  # fmt: skip
    write(folder, "price", price_figures(outcome.strategies, outcome.priced()), salt="price")


def show(console: Console, folder: Path, outcome: Outcome) -> None:
    """One table for each provider, then what has to be looked at, each on a line of its own."""
    for provider in outcome.providers:
        tiles = outcome.tiles(provider)
        table = Table(title=panel(provider), title_justify="left", box=None,
                      padding=(0, 2, 0, 0), header_style="bold")  # fmt: skip
        table.add_column("strategy", no_wrap=True)
        for scenario in outcome.scenarios:
            table.add_column(Text(scenario), overflow="fold")
        for strategy in outcome.strategies:
            table.add_row(Text(strategy), *(_text(tiles.get((strategy, scenario)))
                                            for scenario in outcome.scenarios))  # fmt: skip
        console.print(table)
    for title, lines in remarks(outcome):
        console.print(f"\n[bold]{title}[/bold]")
        for line in lines:
            console.print(Text(line), soft_wrap=True)
    console.print(Text(f"\n{outcome.counts}"), soft_wrap=True)
    for title, name in (("heat map", "matrix.png"), ("price", "price.png")):
        console.print(Text(f"{title}: {folder / name}"), soft_wrap=True)


def remarks(outcome: Outcome) -> Iterator[tuple[str, list[str]]]:
    """Headings and lines: what differs, what proved nothing, what broke, what nobody expected."""
    broken = [one for one in outcome.cells if one.result.validity is Validity.INVALID]
    stray = outcome.in_state(State.NOT_IN_TABLE)
    for title, cells, words in (
        ("Not as expected", outcome.in_state(State.DIFFERS), _difference),
        (
            "Proved nothing; call again to run these once more",
            outcome.in_state(State.UNKNOWN),
            _doubt,
        ),
        ("Broken promises, with their reports", broken, _report),
        ("Not in the expected table, so nothing was compared", stray, _stray),
    ):
        if cells:
            yield title, [words(cell) for cell in cells]


def markdown(outcome: Outcome) -> str:
    """The same for a CI job's summary."""
    lines = ["## onceproof matrix", "", f"**{inline(outcome.title)}**", "", outcome.counts, ""]
    for provider in outcome.providers:
        tiles = outcome.tiles(provider)
        lines += [f"### {inline(panel(provider))}", ""]
        lines.append(f"| strategy | {' | '.join(map(inline, outcome.scenarios))} |")
        lines.append("|---" * (1 + len(outcome.scenarios)) + "|")
        for strategy in outcome.strategies:
            found = (tiles.get((strategy, scenario)) for scenario in outcome.scenarios)
            row = (inline(tile.text) if tile else "" for tile in found)
            lines.append(f"| {inline(strategy)} | {' | '.join(row)} |")
        lines.append("")
    for title, told in remarks(outcome):
        lines += [f"<details><summary>{inline(title)}</summary>", ""]
        lines += [*(f"- {inline(line)}" for line in told), "", "</details>", ""]
    return "\n".join(lines)


def panel(provider: str) -> str:
    """The title of one provider's part."""
    return f"provider {provider} idempotency keys"


def _scenarios(given: Sequence[str]) -> dict[str, tuple[str, Scenario]]:
    found: dict[str, tuple[str, Scenario]] = {}
    for one in given:
        name, scenario = load_scenario(one)
        if name in found:
            raise ConfigError(f"Two scenarios are named {name!r}. Rename one of the files.")
        found[name] = (one, scenario)
    return found


def _short(scenarios: dict[str, tuple[str, Scenario]]) -> dict[str, tuple[str, Scenario]]:
    """Without those that run for longer than a matrix waits, or only in a cluster: a soak is asked
    for by its name, and a matrix runs on processes."""
    return {
        name: found
        for name, found in scenarios.items()
        if found[1].traffic.orders / found[1].traffic.per_second <= LONG_SECONDS
        and not found[1].only_in_clusters
    }


def _cores() -> int:
    """Those that this process may use, which in a container are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(tile: Tile | None) -> Text:
    if tile is None:  # the scenario has another provider
        return Text("")
    return Text(tile.text, style=STYLES[tile.validity])


def _difference(one: JudgedCell) -> str:
    said = "; ".join(one.differences)
    tail = f": {one.report}" if one.report else ""
    return f"≠ {one.result.cell.words}: expected {one.expected}; {said}{tail}"


def _doubt(one: JudgedCell) -> str:
    tail = f" {one.report}" if one.report else ""
    return f"? {one.result.cell.words}: {one.result.sentence}{tail}"


def _report(one: JudgedCell) -> str:
    return f"✗ {one.result.cell.words}: {one.found}: {one.report}"


def _stray(one: JudgedCell) -> str:
    return f"{SIGNS[one.result.validity]} {one.result.cell.words}: {one.found}"
