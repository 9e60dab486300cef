"""The command `lint`. As in `cli`, it calls one function of one module, imported when called."""

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
    "--confirm",
    "confirming",
    is_flag=True,
    help="Explore, and say of each prediction whether it happens (minutes, with a crash).",
)
@PROVIDER
@CONFIG
@DATABASE
@SEED
@RUNS
@JSON
def lint(
    strategies: tuple[str, ...], confirming: bool, provider: str, config: Path | None,
    database_url: str | None, seed: int | None, runs: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Trace one delivery and its duplicates, and say what in their SQL is not safe.

    Each finding names the SQL, why it matters, the anomalies that it predicts, and the fix. Nothing
    runs at the same time: what is predicted is a claim, and --confirm tests it.

    \b
    Examples:
      onceproof lint --strategy article
      onceproof lint --strategy article --confirm
      onceproof lint --config ./onceproof.toml --json

    Exit status: 0 nothing found, 1 something found.
    """
    from scenarios.engine.lint.show import lint_and_show

    return interruptible(
        lint_and_show(
            config, strategies, provider, chosen(seed), runs_root(runs), confirming=confirming,
            database_url=database_url, as_json=as_json,
        )
    )  # fmt: skip


COMMANDS = (lint,)
