"""The options that several commands share, each with its words for `--help`.

What an option takes is checked where it is read, so that a wrong one is told before anything
starts. Nothing heavy is imported for `--help`.
"""

import os
import random
from pathlib import Path

import click

from results.errors import ConfigError

DATABASE_VARIABLE = "ONCEPROOF_DATABASE_URL"
CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="onceproof.toml of the service (default: "
    "./onceproof.toml, else the service that ships with onceproof).",
)  # fmt: skip
RUNS = click.option(
    "--runs", type=click.Path(path_type=Path), help="Where run folders go (default: results/runs "
    "in a checkout, else ./onceproof-runs).",
)  # fmt: skip
SEED = click.option("--seed", type=int, help="Every random choice comes from it; printed.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def private_url(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
    """The URL, kept from our children; ConfigError for a password where any user can read it."""
    source = context.get_parameter_source(option.name or "")
    if given and source is click.core.ParameterSource.COMMANDLINE:
        from cluster.foreign import has_password

        if has_password(given):
            raise ConfigError(
                "A password on the command line is shown to every user of this machine. Put the "
                f"URL into the variable {DATABASE_VARIABLE} and leave --database-url out."
            )
    os.environ.pop(DATABASE_VARIABLE, None)
    return given or None


DATABASE = click.option(
    "--database-url", envvar=DATABASE_VARIABLE,
    callback=private_url,
    help="A Postgres of yours, without TLS: if the database named permits it, another one is "
    "created beside it for the run and dropped again (default: one of our own).",
)  # fmt: skip
PROVIDER = click.option(
    "--provider", type=click.Choice(["honours", "ignores"]), default="honours", show_default=True,
    help="Whether the fulfillment provider honours idempotency keys.",
)  # fmt: skip
SLO = click.option(
    "--slo", "slos", multiple=True, callback=lambda _context, _option, given: checked_slos(given),
    help="An objective, as in 'p99<250ms' or 'unknown-rate<1%', in quotes; repeatable.",
)  # fmt: skip

ON = click.option(
    "--on", "place", type=click.Choice(["processes", "kubernetes"]), default="processes",
    show_default=True, help="Where replicas run: on this machine, or as pods.",
)  # fmt: skip
CONTEXT = click.option(
    "--context", "kube_context", help="Of the kubeconfig (default: its current one)."
)
NAMESPACE = click.option(
    "--namespace", default="onceproof", show_default=True,
    help="Made, and deleted again, unless it is there and says that it may be shaken.",
)  # fmt: skip
IMAGE = click.option(
    "--image", envvar="ONCEPROOF_IMAGE", default="localhost/onceproof", show_default=True,
    help="The image of all pods, built from the Dockerfile of this checkout.",
)  # fmt: skip
NODE_DOWN = click.option(
    "--node-down", default="", metavar="COMMAND",
    help="Takes a node down, for scenarios that do: {node} stands for its name.",
)  # fmt: skip
NODE_UP = click.option(
    "--node-up", default="", metavar="COMMAND",
    help="Brings it back: {node} stands for its name.",
)  # fmt: skip
IN_CLUSTER = click.option(
    "--in-cluster", is_flag=True,
    help="The runner itself is a Job of the cluster; its folder comes back here.",
)  # fmt: skip
LABEL = click.option("--label", default="", hidden=True)  # of a runner that is such a Job
WORKERS = click.option(
    "--workers", type=click.IntRange(1, 50), default=1, show_default=True,
    help="Sending pods; more than one have a master.",
)  # fmt: skip


def checked_slos(given: tuple[str, ...]) -> tuple[str, ...]:
    """The objectives as given; ConfigError before anything starts if one cannot be read."""
    from results.slo import parse_slo

    for text in given:
        parse_slo(text)
    return given


def runs_root(given: Path | None) -> Path:
    """Where run folders go."""
    from results.run_folder import default_runs_root

    return given or default_runs_root()


def chosen(seed: int | None) -> int:
    """The seed given, or a fresh one; it is printed and stands in the manifest."""
    return random.SystemRandom().randrange(1_000_000) if seed is None else seed
