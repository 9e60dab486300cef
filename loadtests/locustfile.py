"""The swarm: `locust -f loadtests/locustfile.py --host http://localhost:3000`.

Here `-u` is the most bursts in flight, not a number of customers, and `-r` is how fast that cap is
reached; how many orders come in a second is `--rate`, an open model. The other options say how
many orders, how many copies of each under which ids, and from which seed. They stand in the web
form too. The shared secret comes from an environment variable, never from the command line.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from loadtests.recorder import Recorder
from loadtests.schedule import Schedule, SwarmOptions
from loadtests.webhook_users import PaidWebhook, Swarm

__all__ = ["PaidWebhook"]
DRAIN_SECONDS = 60.0
SYNC_SECONDS = 1.0


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Our options, on the command line and in the web form."""
    group = parser.add_argument_group("onceproof (-u: most bursts in flight; the rate is --rate)")
    add = group.add_argument
    add("--orders", type=int, default=0, help="How many orders; 0: until stopped")
    add("--rate", type=float, default=20.0, help="Orders per second (Poisson)")
    add("--copies", type=int, default=2, help="Deliveries of each order, released together")
    add("--ids", default="distinct", choices=["same", "distinct"], help="Webhook ids of the copies")
    add("--seed", type=int, default=1, help="Everything random comes from it")
    add("--attempts", type=int, default=9, help="The first delivery and its retries, at most 9")
    add("--time-scale", type=float, default=1 / 600, help="Scales Shopify's 4 hours of retries")
    add("--create-first", type=int, default=1, help="1: deliver orders/create before orders/paid")
    add("--targets", default="", help="name=url,name=url: replicas; default: --host alone")
    add("--secret-from", default="SHOPIFY_SHARED_SECRET", help="Variable with the shared secret")
    add("--history", default="", help="Folder for the history; default: loadtests-history")


def read_options(environment: Any) -> SwarmOptions:
    """The options of this process."""
    given = environment.parsed_options
    runner = environment.runner
    processes = given.processes or 1
    workers = max(os.cpu_count() or 1 if processes < 0 else processes, given.expect_workers or 1)
    targets = tuple(
        (name, url) for name, _, url in (part.partition("=") for part in given.targets.split(","))
        if url
    )  # fmt: skip
    return SwarmOptions(
        orders=given.orders,
        rate=given.rate,
        copies=given.copies,
        distinct_ids=given.ids == "distinct",
        seed=given.seed,
        retries=given.attempts - 1,
        time_scale=given.time_scale,
        create_first=bool(given.create_first),
        targets=targets or (("service", environment.host.rstrip("/")),),
        secret=os.environ.get(given.secret_from, ""),
        worker=runner.worker_index if isinstance(runner, WorkerRunner) else 0,
        workers=workers if isinstance(runner, WorkerRunner) else 1,
    )


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Open this process's history and start its schedule."""
    if isinstance(environment.runner, MasterRunner):
        return
    options = read_options(environment)
    if not options.secret:
        raise ValueError(f"set {environment.parsed_options.secret_from} to the shared secret")
    folder = Path(environment.parsed_options.history or "loadtests-history")
    recorder = Recorder(folder / f"history-{options.worker}.jsonl")
    environment.onceproof = Swarm(Schedule(options), recorder)
    environment.stop_timeout = environment.stop_timeout or DRAIN_SECONDS
    gevent.spawn(attend, environment)


def attend(environment: Any) -> None:
    """Sync the history by the clock, and end the run when everything has been answered."""
    swarm: Swarm = environment.onceproof
    synced = time.monotonic()
    while not swarm.schedule.stopped:
        gevent.sleep(0.05)
        if time.monotonic() - synced >= SYNC_SECONDS:
            swarm.recorder.sync()
            synced = time.monotonic()
        schedule = swarm.schedule
        exhausted = schedule.options.orders and schedule.sent + schedule.shed >= schedule.planned
        if exhausted and not schedule.unfinished and not len(swarm.retries):
            break
    finish(environment)
    if not swarm.schedule.stopped:
        environment.runner.quit()


@events.test_stopping.add_listener
def drain(environment: Any, **_: Any) -> None:
    """Take no more orders; what is in flight is finished within the drain time."""
    if hasattr(environment, "onceproof"):
        environment.onceproof.schedule.stopped = True


@events.quitting.add_listener
def finish(environment: Any, **_: Any) -> None:
    """The last line of the history, once."""
    swarm = getattr(environment, "onceproof", None)
    if swarm is None or getattr(swarm, "finished", False):
        return
    swarm.finished = True
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(DRAIN_SECONDS):
        swarm.retries.join()
    schedule = swarm.schedule
    swarm.recorder.end(
        worker=schedule.options.worker,
        planned=schedule.planned,
        sent=schedule.sent,
        shed=schedule.shed,
    )
    # Locust's own exit status speaks of failed requests; ours is the verdict's business.
    environment.process_exit_code = 0
