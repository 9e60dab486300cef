"""The command that measures: `bench`. As in `cli`, it calls one function of one module."""

from pathlib import Path

import click

from scenarios.engine.exits import interruptible
from scenarios.engine.options import JSON, RUNS, SEED, chosen, runs_root


@click.command()
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=5, show_default=True,
    help="Each measures every peer once.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=3, show_default=True,
    help="How long one peer works in a round.",
)  # fmt: skip
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False),
    help="Where bench.json, .md, .png and .svg go (default: `bench` beside the runs).",
)  # fmt: skip
@SEED
@RUNS
@JSON
def bench(
    parts: tuple[str, ...], rounds: int, seconds: float, into: Path | None, seed: int | None,
    runs: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Measure PARTs of onceproof beside their peers (default: all), as ratios inside a round.

    \b
    Examples:
      onceproof bench                              everything, some fifteen minutes
      onceproof bench wire --rounds 9
      onceproof bench checker --seconds 1 --json

    Exit status: 0 every target is met, 1 one is missed, or work was not exact, 2 one could not be
    measured here.
    """
    from scenarios.engine.bench.show import bench_and_show

    folder = into or runs_root(runs) / "bench"
    return interruptible(
        bench_and_show(parts, rounds, seconds, chosen(seed), folder, as_json=as_json)
    )


COMMANDS = (bench,)
