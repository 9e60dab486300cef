"""The commands that play chosen schedules: `explore` and `replay`.

As in `cli`, each calls one function of one module, which is imported when it is called.
"""

from pathlib import Path

import click

from scenarios.engine.exits import interruptible
from scenarios.engine.options import CONFIG, DATABASE, JSON, PROVIDER, RUNS, SEED, chosen, runs_root


@click.command()
@click.option(
    "--strategy", "strategies", multiple=True,
    help="One of the service's strategies, or `all`; repeatable (default: its last one).",
)  # fmt: skip
@click.option(
    "--ids", type=click.Choice(["distinct", "same", "both"]), default="both", show_default=True,
    help="Whether the deliveries of one order carry webhook ids of their own.",
)  # fmt: skip
@click.option(
    "--row", type=click.Choice(["present", "absent", "both"]), default="both", show_default=True,
    help="Whether orders/create came before.",
)  # fmt: skip
@click.option(
    "--crashes", type=click.IntRange(0, 2), default=0, show_default=True,
    help="How many processes may die (SIGKILL) in one schedule, before or after any step.",
)  # fmt: skip
@click.option(
    "--deliveries", type=click.IntRange(1, 4), default=2, show_default=True,
    help="How many deliveries of one order come at once.",
)  # fmt: skip
@click.option(
    "--one-process",
    is_flag=True,
    help="All deliveries go to one process, where they share its pool, its clients and its "
    "memory (default: one process each).",
)
@click.option(
    "--cancelled",
    is_flag=True,
    help="The last delivery is an orders/cancelled of the same order.",
)
@click.option(
    "--crash-points", is_flag=True,
    help="One delivery, one death: a table of every point and what it leads to.",
)  # fmt: skip
@click.option("--preemptions", type=click.IntRange(0), help="Only schedules with at most so many.")
@click.option(
    "--reduced/--full", default=None,
    help="Leave out orders of steps that cannot matter to each other, or do not "
    "(default: only where there are many: a crash, a third delivery, over 1,000 schedules).",
)  # fmt: skip
@click.option(
    "--schedules", type=click.IntRange(1), default=100_000, show_default=True,
    help="Stop after so many.",
)  # fmt: skip
@PROVIDER
@CONFIG
@DATABASE
@SEED
@RUNS
@JSON
def explore(
    strategies: tuple[str, ...], ids: str, row: str, crashes: int, deliveries: int,
    one_process: bool, cancelled: bool, crash_points: bool, preemptions: int | None,
    reduced: bool | None, schedules: int, provider: str,
    config: Path | None, database_url: str | None, seed: int | None, runs: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Play every order of the database steps of two deliveries of one order, and judge each.

    The service runs as it is, a process for each delivery. What is found comes with the smallest
    schedule that shows it, as a file that `onceproof replay` plays again.

    \b
    Examples:
      onceproof explore --strategy article
      onceproof explore --strategy all --json
      onceproof explore --ids same --row present --crashes 1
      onceproof explore --strategy dedupe_first --crash-points
      onceproof explore --strategy article_shared_client --one-process
      onceproof explore --config ./onceproof.toml --deliveries 3 --preemptions 2

    Exit status: 0 nothing is wrong in all there are, 1 something is, 2 nothing was found, but the
    schedules were not all of them (always so with --preemptions).
    """
    import uvloop

    from scenarios.engine.explore.show import explore_and_show
    from scenarios.engine.explore.walk import Bounds

    if crash_points:
        ids, deliveries, crashes, one_process, cancelled = "distinct", 1, 1, False, False
    bounds = Bounds(
        reduced=reduced, preemptions=preemptions, schedules=schedules, unanswered=crash_points
    )
    return interruptible(
        explore_and_show(
            config, strategies, provider, chosen(seed), runs_root(runs), ids=ids, row=row,
            deliveries=deliveries, crashes=crashes, one_process=one_process, cancelled=cancelled,
            bounds=bounds, database_url=database_url, as_json=as_json, crash_points=crash_points,
        ),
        uvloop.new_event_loop,
    )  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--times", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How often."
)
@click.option(
    "--mended", is_flag=True,
    help="The service has changed since: keep the order of the deliveries, whatever their steps "
    "are now, and expect nothing wrong.",
)  # fmt: skip
@CONFIG
@DATABASE
@SEED
@RUNS
@JSON
def replay(
    file: Path, times: int, mended: bool, config: Path | None, database_url: str | None,
    seed: int | None, runs: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Play a stored schedule (FILE.schedule.json) again, and see whether it leads to the same.

    \b
    Examples:
      onceproof replay results/runs/latest/A1-distinct-present.schedule.json
      onceproof replay found.schedule.json --config ./onceproof.toml --times 5
      onceproof replay found.schedule.json --mended    is it gone? (pytest asks the same)

    Exit status: 0 every play led to the stored codes (--mended: to none), 1 some did not, or a
    step diverged.
    """
    import uvloop

    from scenarios.engine.explore.show import replay_and_show

    return interruptible(
        replay_and_show(
            file, times, config, chosen(seed), runs_root(runs), database_url=database_url,
            as_json=as_json, mended=mended,
        ),
        uvloop.new_event_loop,
    )  # fmt: skip


COMMANDS = (explore, replay)
