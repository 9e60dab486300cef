"""The command line: one function per command, each of which calls one function of one module.

Heavy modules are imported inside the commands, so that `onceproof --help` answers at once.
Results go to standard output, everything else to standard error; `--json` gives one JSON document.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from scenarios.engine import (
    bench_commands,
    cluster_commands,
    explore_commands,
    lint_commands,
    look_commands,
)
from scenarios.engine.exits import interruptible, mapped
from scenarios.engine.options import (
    CONFIG,
    CONTEXT,
    DATABASE,
    DATABASE_VARIABLE,
    IMAGE,
    IN_CLUSTER,
    JSON,
    LABEL,
    NAMESPACE,
    NODE_DOWN,
    NODE_UP,
    ON,
    PROVIDER,
    RUNS,
    SEED,
    SLO,
    WORKERS,
    chosen,
    runs_root,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.version_option(package_name="onceproof")
def cli(debug: bool) -> None:
    """Fires duplicate webhooks at a service, crashes its replicas in the middle of their
    transactions, and proves from the outside whether every order was fulfilled exactly once.

    \b
    Examples:
      onceproof demo                                   the main job on this machine, 30 seconds
      onceproof list                                   scenarios and strategies
      onceproof run distinct_ids --strategy article
      onceproof run ./mine.py --config ./onceproof.toml
      onceproof check latest                           judge a run again, from its folder
      onceproof matrix                                 every strategy under every scenario
      onceproof explore --strategy article             every order of two deliveries' steps
      onceproof publish latest --site site             a static site of stored results

    Exit status: 0 valid, 1 invalid, 2 unknown, 3 valid but an SLO missed, 130 interrupted,
    254 usage, 255 harness failed.
    """


@cli.command()
@SEED
@RUNS
def demo(seed: int | None, runs: Path | None) -> int:
    """Find the article's handler guilty and prove the right one; ends with a report.

    Exit status 0 if and only if both verdicts are as expected.
    """
    from scenarios.engine.demo import demonstrate

    os.environ.pop(DATABASE_VARIABLE, None)  # not used here, so no child shall inherit it
    return interruptible(demonstrate(chosen(seed), runs_root(runs)))


@cli.command(name="list")
@CONFIG
@JSON
def list_all(config: Path | None, as_json: bool) -> int:
    """Show the scenarios that ship, and the strategies of the service."""
    from scenarios.engine.show import show_list

    return show_list(config, as_json=as_json)


@cli.command()
@click.argument("scenario")
@click.option("--strategy", help="One of the service's strategies (default: its last one).")
@PROVIDER
@DATABASE
@CONFIG
@SEED
@RUNS
@JSON
@SLO
@click.option("--search", is_flag=True, help="Add a short directed search through the wire.")
@ON
@CONTEXT
@NAMESPACE
@IMAGE
@NODE_DOWN
@NODE_UP
@WORKERS
@IN_CLUSTER
@LABEL
def run(
    scenario: str, strategy: str | None, provider: str, database_url: str | None,
    config: Path | None, seed: int | None, runs: Path | None, as_json: bool, search: bool,
    slos: tuple[str, ...], place: str, kube_context: str | None, namespace: str, image: str,
    workers: int, node_down: str, node_up: str, in_cluster: bool, label: str,
) -> int:  # fmt: skip
    """Run SCENARIO (a name from `onceproof list`, or the path of a file of yours) and judge it.

    \b
    Examples:
      onceproof run distinct_ids --strategy article
      onceproof run kill_reply_lost --seed 7 --json
      onceproof run distinct_ids --slo 'p99<250ms'     status 3: valid, but too slow
      onceproof run kill_commit_dropped --on kubernetes --namespace chaos
    """
    from scenarios.engine.plan import ClusterTarget
    from scenarios.engine.show import run_and_show

    cluster = None
    if place == "kubernetes" or in_cluster:
        cluster = ClusterTarget(
            context=kube_context, namespace=namespace, image=image, workers=workers,
            node_down=node_down, node_up=node_up, run=label,
        )  # fmt: skip

    return interruptible(
        run_and_show(
            scenario, strategy, provider, config, chosen(seed), runs_root(runs),
            as_json=as_json, search=search, database_url=database_url,
            slos=slos, cluster=cluster, in_cluster=in_cluster,
        )
    )  # fmt: skip


@cli.command()
@click.argument("run", default="latest")
@RUNS
@JSON
@SLO
def check(run: str, runs: Path | None, as_json: bool, slos: tuple[str, ...]) -> int:
    """Judge a run again from its folder (a path, a folder's name, or `latest`).

    Without --slo, by the objectives that the run was asked for.
    """
    from scenarios.engine.show import check_and_show

    return check_and_show(run, runs_root(runs), slos, as_json=as_json)


@cli.command()
@click.option("--strategies", default="", help="Names, with commas (default: all of them).")
@click.option(
    "--scenarios", default="", help="Names or paths, with commas (default: all but soaks)."
)
@click.option("--providers", default="", help="honours, ignores, with a comma (default: both).")
@CONFIG
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="So many seeds, one run for each.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Runs side by side (default: half of the cores).",
)
@click.option("--fresh", is_flag=True, help="Forget what an earlier call has found.")
@click.option("--keep", is_flag=True, help="Keep the histories of runs that are as expected, too.")
@RUNS
@JSON
def matrix(
    strategies: str, scenarios: str, providers: str, config: Path | None, seed: int, seeds: int,
    jobs: int | None, fresh: bool, keep: bool, runs: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Run every strategy under every scenario and provider, and compare with the expected table.

    Goes on where an earlier call was interrupted. A service of yours is expected to be valid
    everywhere.

    \b
    Examples:
      onceproof matrix --strategies article,insert_first --scenarios distinct_ids
      onceproof matrix --seeds 5 --jobs 4

    Exit status 0 if and only if every cell is as expected, 1 if one differs, else 2 if one proved
    nothing.
    """
    from scenarios.engine.matrix_show import matrix_and_show

    picked = (listed(strategies), listed(scenarios), listed(providers))
    return interruptible(
        matrix_and_show(
            *picked, config, seed, seeds, runs_root(runs), jobs,
            fresh=fresh, keep=keep, as_json=as_json,
        )
    )  # fmt: skip


@cli.command()
@RUNS
@JSON
def heal(runs: Path | None, as_json: bool) -> int:
    """End and remove what a run left behind that could not clean up after itself."""
    from scenarios.engine.show import heal_and_show

    return interruptible(heal_and_show(runs_root(runs), as_json=as_json))


@cli.command()
@CONFIG
@DATABASE
@RUNS
@JSON
@click.option("--strategy", help="One of the service's strategies (default: its last one).")
def doctor(
    config: Path | None, database_url: str | None, runs: Path | None, as_json: bool,
    strategy: str | None,
) -> int:  # fmt: skip
    """Check that this machine has what a run needs, and a service of yours, step by step.

    What is missing or wrong is said with what to change.
    """
    from scenarios.engine.doctor import examine

    return interruptible(examine(config, database_url, runs_root(runs), strategy, as_json=as_json))


@cli.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> int:
    """Write a commented onceproof.toml for a service of yours into FOLDER (default: here)."""
    from scenarios.engine.init import write_config

    return write_config(folder)


def listed(names: str) -> list[str]:
    """The names of a list with commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


GROUPS = (explore_commands, lint_commands, look_commands, bench_commands, cluster_commands)
for command in (command for group in GROUPS for command in group.COMMANDS):
    cli.add_command(command)


def main() -> None:
    """The entry point: every way out is mapped onto a documented exit status."""
    arguments: list[str] = sys.argv[1:]
    result: dict[str, Any] = {"args": arguments, "prog_name": "onceproof", "standalone_mode": False}
    sys.exit(mapped(lambda: cli.main(**result), debug="--debug" in arguments))


if __name__ == "__main__":
    main()
