"""The swarm: `locust -f loadtests/locustfile.py --host http://localhost:3000`.

Here `-u` is the most bursts in flight, not a number of customers, and `-r` is how fast that cap is
reached; how many orders come in a second is `--rate`, an open model. The other options say how
many orders, how many copies of each under which ids, and from which seed. They stand in the web
form too. The shared secret comes from an environment variable, never from the command line. Hosts
other than this machine are refused, unless `--allow-host` names them: that is read once, at the
start of each process, and nothing that comes in by the web form changes it.

A run with `--orders` ends by itself when every order and its retries are done; `-t`, Ctrl-C or the
web UI's Stop end it earlier: what is in flight is answered, waiting retries are given up. With
`--processes` each worker has its share of the orders and a history of its own. Failed requests do
not make the exit status (the verdict does); `--exit-code-on-error 1` brings Locust's own rule back.
"""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import psutil
from locust import events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtests.dialect import CANCELLED, CREATE, PAID, Dialect
from loadtests.hosts import read_hosts, require_allowed
from loadtests.locust_transport import LocustTransport
from loadtests.pump_transport import PumpTransport
from loadtests.recorder import Recorder
from loadtests.schedule import Schedule, SwarmOptions
from loadtests.traffic import Mix, Rush
from loadtests.transport import DEFAULT_TRANSPORT, TRANSPORTS, Transport
from loadtests.webhook_users import PaidWebhook, Swarm
from results.errors import HarnessError

__all__ = ["PaidWebhook"]
DRAIN_SECONDS = 8.0  # one attempt takes at most Shopify's 5
SYNC_SECONDS = 1.0
HISTORIES_MAX = 1_000  # of one worker in one folder: starts from the web UI
DONE = "onceproof-done"
logger = logging.getLogger("onceproof")


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Our options, on the command line and in the web form."""
    parser.set_defaults(exit_code_on_error=0)
    group = parser.add_argument_group(
        "onceproof",
        "-u is the most bursts in flight and -r how fast that cap is reached; "
        "the arrivals are --rate, however slow the service is.",
    )

    def add(name: str, *, form: bool = True, **more: Any) -> None:
        # A group of argparse's knows nothing of Locust's web form.
        group.add_argument(name, **more).include_in_web_ui = form

    add_what(add)
    add_how(add)


def add_what(add: Callable[..., None]) -> None:
    """Which orders, and what of them is delivered."""
    add("--orders", type=int, default=0, help="How many orders; 0: until stopped")
    add("--rate", type=float, default=20.0, help="Orders per second (Poisson)")
    add("--copies", type=int, default=2, help="Deliveries of each order, released together")
    add("--ids", default="distinct", choices=["same", "distinct"], help="Webhook ids of the copies")
    add("--seed", type=int, default=1, help="Everything random comes from it")
    add("--attempts", type=int, default=9, help="The first delivery and its retries, at most 9")
    add("--time-scale", type=float, default=1 / 600, help="Scales Shopify's 4 hours of retries")
    add("--webhook", default="/webhooks/orders/paid", help="The path of orders/paid")
    add(
        "--create-webhook", default="/webhooks/orders/create",
        help="The path of orders/create, delivered before orders/paid; empty: none",
    )  # fmt: skip
    add("--create-late", type=int, default=0, help="1: orders/create comes after orders/paid")
    add(
        "--cancel-webhook", default="/webhooks/orders/cancelled",
        help="The path of orders/cancelled",
    )  # fmt: skip
    add(
        "--signature", default="shopify", help="How they are signed: a name of loadtests/signatures"
    )
    for topic, words in (("", "paid"), ("create-", "create"), ("cancel-", "cancelled")):
        add(
            f"--{topic}payload", default="", form=False,
            help=f"Template of the body of orders/{words}; default: Shopify's",
        )  # fmt: skip
    add("--again", type=float, default=0.0, help="Share of webhooks delivered again after a 2xx")
    add("--repaid", type=float, default=0.0, help="Share of orders paid again: new event, new id")
    add("--cancelled", type=float, default=0.0, help="Share of orders cancelled before they pay")
    add("--forged", type=float, default=0.0, help="Share of orders beside which one is forged")
    add("--two-shops", type=int, default=0, help="1: two shops use the same order ids")
    add("--rotate-ids", type=int, default=0, help="1: each retry comes under a new webhook id")
    add("--rush-seconds", type=float, default=0.0, help="How long, from the start, is a rush")
    add("--rush-rate", type=float, default=20.0, help="Orders per second in that time")
    add("--rotate-after", type=int, default=0, help="Orders until the next secret signs; 0: never")


def add_how(add: Callable[..., None]) -> None:
    """Whereto, by what, and where it is written down."""
    history = f"loadtests-history/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    add(
        "--transport", default=DEFAULT_TRANSPORT, choices=TRANSPORTS,
        help="pump: sent on time by a process of its own; locust: by FastHttpUser's client",
    )  # fmt: skip
    add(
        "--release", default="together", choices=["together", "last-byte"],
        help="last-byte: copies are sent but for their last bytes, which then leave together",
    )  # fmt: skip
    add("--targets", default="", help="name=url,name=url: replicas; default: --host alone")
    add(
        "--allow-host", default="", form=False,
        help="Hosts that may be sent to beside this machine: exact names, with commas",
    )  # fmt: skip
    add(
        "--secret-from", default="SHOPIFY_SHARED_SECRET", form=False,
        help="Variable with the shared secret",
    )  # fmt: skip
    add(
        "--extend-while", default="", form=False,
        help="Send more orders as long as this file is there",
    )  # fmt: skip
    add(
        "--history", default=history, form=False,
        help="Folder for the history, a file per process",
    )  # fmt: skip


def read_options(environment: Any) -> SwarmOptions:
    """The options of this process; ValueError with a sentence for what cannot be."""
    given = environment.parsed_options
    runner = environment.runner
    processes = given.processes or 1
    workers = max(os.cpu_count() or 1 if processes < 0 else processes, given.expect_workers or 1)
    named = (part.strip().partition("=") for part in given.targets.split(",") if part.strip())
    targets = tuple((name, url.rstrip("/")) for name, _, url in named)
    if not targets and environment.host:
        targets = (("service", environment.host.rstrip("/")),)
    require_allowed((url for _, url in targets), getattr(environment, "allowed_hosts", frozenset()))
    files = {PAID: given.payload, CREATE: given.create_payload, CANCELLED: given.cancel_payload}
    dialect = Dialect.read(
        given.signature, {topic: Path(file) for topic, file in files.items() if file}
    )
    secret = os.environ.get(given.secret_from, "")
    if not secret:
        raise ValueError(f"set the variable {given.secret_from} to the shared secret")
    return SwarmOptions(
        orders=given.orders,
        rate=given.rate,
        copies=given.copies,
        distinct_ids=given.ids == "distinct",
        seed=given.seed,
        retries=given.attempts - 1,
        time_scale=given.time_scale,
        webhook=given.webhook,
        create_webhook=given.create_webhook,
        targets=targets,
        secret=secret,
        cancel_webhook=given.cancel_webhook,
        create_late=bool(given.create_late),
        mix=Mix(
            again=given.again,
            repaid=given.repaid,
            cancelled=given.cancelled,
            forged=given.forged,
            two_shops=bool(given.two_shops),
            rotate_ids=bool(given.rotate_ids),
        ),
        rush=Rush(seconds=given.rush_seconds, per_second=given.rush_rate),
        dialect=dialect,
        rotate_after=given.rotate_after,
        next_secret=os.environ.get(f"{given.secret_from}_NEXT", ""),
        worker=runner.worker_index if isinstance(runner, WorkerRunner) else 0,
        workers=workers if isinstance(runner, WorkerRunner) else 1,
        extend_while=Path(given.extend_while) if given.extend_while else None,
    )


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Refuse impossible options before anything starts; let workers tell the master."""
    given = environment.parsed_options
    try:
        environment.allowed_hosts = read_hosts(given.allow_host)
    except ValueError as error:
        raise SystemExit(f"onceproof: {error}") from None
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(DONE, worker_done)
    # A master on a machine of its own needs no secret; the one of --processes has that of all.
    alone = environment.runner is None or isinstance(environment.runner, LocalRunner)
    if given.headless and (alone or given.processes):
        try:
            read_options(environment)
        except ValueError as error:
            for worker in psutil.Process().children() if given.processes else ():
                worker.terminate()  # it would wait for its master for minutes
            raise SystemExit(f"onceproof: {error}") from None


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Open this process's history and start its schedule."""
    environment.stop_timeout = environment.stop_timeout or DRAIN_SECONDS
    environment.workers_done = set()
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        options = read_options(environment)
        transport = open_transport(environment, options)
    except (ValueError, HarnessError) as error:
        logger.error("onceproof: %s", error)
        environment.onceproof = None
        environment.process_exit_code = 2
        gevent.spawn(conclude, environment)
        return
    PaidWebhook.host = options.targets[0][1]
    environment.onceproof = Swarm(Schedule(options), transport)
    gevent.spawn(attend, environment, environment.onceproof)


def open_transport(environment: Any, options: SwarmOptions) -> Transport:
    """What sends for this process, with a history of its own; ValueError, HarnessError."""
    given = environment.parsed_options
    file = free_file(Path(given.history), options.worker)
    last_byte = given.release == "last-byte"
    if given.transport == "locust":
        if last_byte:
            raise ValueError("--release last-byte: only the pump can; leave --transport at pump")
        return LocustTransport(Recorder(file))
    secrets = (given.secret_from, f"{given.secret_from}_NEXT")
    urls = [url for _, url in options.targets]
    return PumpTransport(file, urls, environment.events, hide=secrets, last_byte=last_byte)


def free_file(folder: Path, worker: int) -> Path:
    """A new file for each start: two runs in one file would read as one."""
    names = (f"-{number}" if number > 1 else "" for number in range(1, HISTORIES_MAX))
    for name in names:
        file = folder / f"history-{worker}{name}.jsonl"
        if not file.exists():
            return file
    raise FileExistsError(f"{folder} is full of histories. Name another with --history.")


def attend(environment: Any, swarm: Swarm) -> None:
    """Sync the history by the clock, and end the run when everything has been answered."""
    schedule = swarm.schedule
    synced = time.monotonic()
    drained_by = None
    while True:
        gevent.sleep(0.05)
        schedule.shed_late()
        if swarm.transport.lost:
            logger.error("onceproof: %s; the run is over", swarm.transport.lost)
            environment.process_exit_code = 2
            break
        if swarm.transport.full and not schedule.stopped:
            logger.error("onceproof: the history is as long as it may be; no more orders are sent")
            swarm.stop()
        if time.monotonic() - synced >= SYNC_SECONDS:
            # In a thread: an fsync may take long, and the next burst is due meanwhile.
            gevent.get_hub().threadpool.apply(swarm.transport.sync)
            synced = time.monotonic()
        if schedule.stopped:
            drained_by = drained_by or time.monotonic() + DRAIN_SECONDS
            if swarm.idle or time.monotonic() > drained_by:
                break
        elif schedule.exhausted and swarm.idle:
            break
    by_itself = not schedule.stopped or swarm.transport.full or bool(swarm.transport.lost)
    swarm.transport.end(
        worker=schedule.options.worker,
        planned=schedule.planned,
        sent=schedule.sent,
        shed=schedule.shed,
    )
    swarm.ended.set()
    if by_itself:
        conclude(environment)


def conclude(environment: Any) -> None:
    """This process is done: end the run, or tell the master, who waits for all of them."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.send_message(DONE, None)
    elif environment.parsed_options.headless:
        runner.quit()
    else:
        runner.stop()  # the web UI stays, with its figures


def worker_done(environment: Any, msg: Any, **_: Any) -> None:
    """One of the master's workers has sent all of its share."""
    environment.workers_done.add(msg.node_id)
    if len(environment.workers_done) >= environment.runner.worker_count:
        gevent.spawn(conclude, environment)  # not in the greenlet that receives messages


@events.test_stopping.add_listener
@events.quitting.add_listener
def drain(environment: Any, **_: Any) -> None:
    """Take no more orders; return when what is in flight has been answered and recorded."""
    swarm: Swarm | None = getattr(environment, "onceproof", None)
    if swarm is not None and not isinstance(environment.runner, MasterRunner):
        swarm.stop()
        swarm.ended.wait(DRAIN_SECONDS + 1)


@events.user_error.add_listener
def broken(user_instance: Any, **_: Any) -> None:
    """An exception in a user is our fault, not the service's: the generator failed."""
    user_instance.environment.process_exit_code = 2
