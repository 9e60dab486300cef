"""The commands that show what was found before: `compare`, `report`, `publish` and `serve`.

As in `cli`, each calls one function of one module, which is imported when it is called.
"""

from pathlib import Path

import click

from scenarios.engine.exits import interruptible
from scenarios.engine.options import JSON, RUNS, runs_root


@click.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--charts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw the latencies of both into this folder.",
)
@RUNS
@JSON
def compare(before: str, after: str, charts: Path | None, runs: Path | None, as_json: bool) -> int:
    """Show what changed from run BEFORE to run AFTER (paths or folders' names).

    Latencies are shown with their 95 % intervals and decide nothing.

    Exit status 0 if nothing is worse, 1 if a code is new, the verdict fell or an SLO is missed
    that was met, 2 if the two cannot be compared or one of them is unknown.
    """
    from scenarios.engine.compare import compare_and_show

    return compare_and_show(before, after, runs_root(runs), charts, as_json=as_json)


@click.command()
@click.argument("run", default="latest")
@RUNS
def report(run: str, runs: Path | None) -> int:
    """Write report.html, the charts and junit.xml of a run again."""
    from scenarios.engine.show import report_again

    return report_again(run, runs_root(runs))


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@click.option(
    "--site", type=click.Path(path_type=Path), required=True,
    help="The site's folder. What lies there of an earlier call is replaced, its trend goes on.",
)  # fmt: skip
@click.option(
    "--commit", envvar="GITHUB_SHA",
    help="The commit that the results are of (default: GITHUB_SHA, else git's HEAD).",
)  # fmt: skip
@RUNS
def publish(results: tuple[str, ...], site: Path, commit: str | None, runs: Path | None) -> int:
    """Make a static site of stored results: folders of runs and of matrices.

    index.html needs nothing outside the folder. The trend over commits is carried on from the
    trend.jsonl that lies there; a commit that is published again replaces its own lines.

    \b
    Example:
      onceproof publish results/runs/matrix-* --site site
    """
    from scenarios.engine.publish import publish_and_show

    return publish_and_show(results, site, commit, runs_root(runs))


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8_700, show_default=True,
    help="Of 127.0.0.1; 0: any that is free.",
)  # fmt: skip
@RUNS
def serve(port: int, runs: Path | None) -> int:
    """Look at the stored runs in a browser: verdicts, newest first, and their reports.

    Listens on this machine only, until Ctrl-C. A run that is under way appears when it is judged.
    """
    from scenarios.engine.serve import serve_runs

    return interruptible(serve_runs(runs_root(runs), port))


COMMANDS = (compare, report, publish, serve)
