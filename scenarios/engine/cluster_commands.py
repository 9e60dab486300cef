"""The commands that are about a cluster: `preflight`, `rbac`, `up`, `down` and `ui`.

As in `cli`, each calls one function of one module, which is imported when it is called.
"""

from pathlib import Path

import click

from scenarios.engine.exits import interruptible
from scenarios.engine.options import (
    CONFIG,
    CONTEXT,
    DATABASE,
    IMAGE,
    JSON,
    NAMESPACE,
    RUNS,
    WORKERS,
    runs_root,
)


@click.command()
@click.argument("scenario")
@CONTEXT
@NAMESPACE
@IMAGE
@WORKERS
@CONFIG
@DATABASE
@JSON
def preflight(
    scenario: str, kube_context: str | None, namespace: str, image: str, workers: int,
    config: Path | None, database_url: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Show what a run of SCENARIO in a cluster would touch, and whether it would work there.

    Makes nothing but a pod that is crashed to see how, and only where the namespace is there.

    Exit status 0 if all is there that the run needs, else 255.
    """
    from scenarios.engine.plan import ClusterTarget
    from scenarios.engine.preflight import planned, preflight_and_show

    target = ClusterTarget(
        context=kube_context, namespace=namespace, image=image, workers=workers
    )  # fmt: skip
    plan = planned(scenario, config, runs_root(None), target)
    assert plan.cluster is not None
    return interruptible(preflight_and_show(plan, plan.cluster, database_url, as_json=as_json))


@click.command()
@click.argument("scenario")
@NAMESPACE
@click.option(
    "--make-namespace", is_flag=True,
    help="For runs that make and delete the namespace: a ClusterRole.",
)  # fmt: skip
def rbac(scenario: str, namespace: str, make_namespace: bool) -> int:
    """Print the smallest Role that a run of SCENARIO needs, as YAML for kubectl apply -f -.

    \b
    Example:
      onceproof rbac kill_commit_dropped --namespace chaos | kubectl apply -f -
    """
    from scenarios.engine.preflight import print_roles

    return print_roles(scenario, namespace, make_namespace=make_namespace)


@click.command()
@CONTEXT
@NAMESPACE
@IMAGE
@click.option("--strategy", help="One of the service's strategies (default: its last one).")
@click.option("--replicas", type=click.IntRange(1, 100), default=3, show_default=True)
@CONFIG
@RUNS
def up(
    kube_context: str | None, namespace: str, image: str, strategy: str | None, replicas: int,
    config: Path | None, runs: Path | None,
) -> int:  # fmt: skip
    """Deploy the service and its harness into a namespace, and leave them standing.

    `onceproof ui` sends traffic by hand, `onceproof down` (or heal) removes all of it.
    """
    from scenarios.engine.by_hand import up as bring_up
    from scenarios.engine.plan import ClusterTarget

    target = ClusterTarget(context=kube_context, namespace=namespace, image=image)
    return interruptible(bring_up(target, strategy, replicas, config, runs_root(runs)))


@click.command()
@NAMESPACE
@RUNS
def down(namespace: str, runs: Path | None) -> int:
    """Remove what `onceproof up` made."""
    from scenarios.engine.by_hand import down as take_down

    return interruptible(take_down(namespace, runs_root(runs)))


@click.command()
@CONTEXT
@NAMESPACE
@IMAGE
@CONFIG
@RUNS
def ui(
    kube_context: str | None, namespace: str, image: str, config: Path | None, runs: Path | None
) -> int:
    """Open Locust's page on 127.0.0.1, in front of what `onceproof up` made; Ctrl-C ends it."""
    from scenarios.engine.by_hand import page
    from scenarios.engine.plan import ClusterTarget

    target = ClusterTarget(context=kube_context, namespace=namespace, image=image)
    return interruptible(page(target, config, runs_root(runs)))


COMMANDS = (preflight, rbac, up, down, ui)
