"""What others write with Locust, as peers of the pump in `onceproof bench`.

`OneAfterAnother` posts the same signed order as fast as it can; `Barrier` is the forum's answer to
"how do I send N requests at once", an Event that all users wait for; `Steady` is a fixed rate by
`constant_throughput`. Each writes what it measured of itself to the file that ONCEPROOF_PEER_REPORT
names: its own CPU time, from when all users were there until they were stopped, and the percentiles
of Locust's own column.
"""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust import FastHttpUser, constant_throughput, events, task

from loadtests.sample import PATH, sample

REPORT = "ONCEPROOF_PEER_REPORT"
EVERY_SECONDS = 0.02
WARM_SECONDS = 0.3
BODY, HEADERS = sample()
numbers = itertools.count()


class OneAfterAnother(FastHttpUser):
    """As fast as the answers come."""

    insecure = False

    @task
    def post(self) -> None:
        """One request with an id of its own."""
        headers = HEADERS | {"X-Shopify-Webhook-Id": str(next(numbers))}
        self.client.post(PATH, data=BODY, headers=headers)


class Steady(OneAfterAnother):
    """Ten in a second, if the answers come in time."""

    wait_time = constant_throughput(10)


class Barrier(FastHttpUser):
    """Waits until all the others wait, too."""

    waiting = 0
    burst = 0
    release = Event()

    @task
    def post(self) -> None:
        """One copy of the next burst."""
        Barrier.waiting += 1
        Barrier.release.wait()
        Barrier.waiting -= 1
        copies = self.environment.parsed_options.num_users
        burst = {"X-Burst": str(Barrier.burst), "X-Copies": str(copies)}
        self.client.post(PATH, data=BODY, headers=HEADERS | burst)


def open_barrier(environment: Any) -> None:
    """Whenever all stand before it, every so often."""
    while True:
        gevent.sleep(EVERY_SECONDS)
        if Barrier.waiting == environment.parsed_options.num_users:
            Barrier.burst += 1
            release, Barrier.release = Barrier.release, Event()
            release.set()


@events.spawning_complete.add_listener
def begin(**_: Any) -> None:
    """All users are there: measure from soon on."""
    gevent.spawn_later(WARM_SECONDS, measure)


def measure() -> None:
    """Remember what was until now."""
    began.update(cpu=time.process_time(), at=time.monotonic(), requests=next(numbers))


began: dict[str, float] = {}


@events.test_start.add_listener
def start(environment: Any, **_: Any) -> None:
    """The barrier has somebody who opens it."""
    if Barrier in environment.user_classes:
        gevent.spawn(open_barrier, environment)


@events.test_stopping.add_listener
def report(environment: Any, **_: Any) -> None:
    """What was measured."""
    requests = next(numbers) - began["requests"]
    Path(os.environ[REPORT]).write_text(
        json.dumps({
            "cpu_us": (time.process_time() - began["cpu"]) / max(1, requests) * 1e6,
            "per_second": requests / (time.monotonic() - began["at"]),
            "p95_ms": environment.stats.total.get_response_time_percentile(0.95),
            "p99_ms": environment.stats.total.get_response_time_percentile(0.99),
            "requests": environment.stats.total.num_requests,
            "failures": environment.stats.total.num_failures,
        }),
        encoding="utf-8",
    )  # fmt: skip
