"""The user that sends: one paid order after another, each as a burst of duplicates.

A user takes the next order of the schedule, announces it by orders/create if asked to, waits for
its due time, writes the intents of all copies, and releases the copies together, each to another
replica. What fails is retried by Shopify's rules in a greenlet of its own, so that a user is soon
free for the next order. The client never sends anything twice by itself: re-sends are off, and
redirects are not followed (a 3xx is a failure for Shopify). Shopify's 5 seconds are for the whole
request, so one timer stands over connect, send and read. When the run is stopped, what is on its
way is answered, and what only waits (an order for its time, a retry for its turn) is given up.
"""

import socket
import time
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group, Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests import shopify
from loadtests.recorder import Recorder
from loadtests.schedule import Schedule
from loadtests.traffic import SHOP, PlannedOrder
from results.records import Intent, Outcome

PAID, CREATE = "orders/paid", "orders/create"
RETRIES_IN_FLIGHT_MAX = 5_000
CREATE_ATTEMPTS = 40
CREATE_RETRY_SECONDS = 0.05
# These errors of a POST come before a connection exists: not one byte has left.
NOTHING_SENT = (ConnectionRefusedError, socket.gaierror)


class Swarm:
    """What all users of one process share."""

    def __init__(self, schedule: Schedule, recorder: Recorder) -> None:
        self.schedule = schedule
        self.recorder = recorder
        self.copies = Group()
        self.retries = Pool(RETRIES_IN_FLIGHT_MAX)
        self.stopping = Event()
        self.ended = Event()

    @property
    def idle(self) -> bool:
        """True when nothing is on its way and no retry waits."""
        return not (self.schedule.unfinished or len(self.copies) or len(self.retries))

    def stop(self) -> None:
        """Take no more orders, begin no more retries."""
        self.schedule.stopped = True
        self.stopping.set()


class PaidWebhook(FastHttpUser):
    """Sends orders as Shopify does. `-u` caps the bursts in flight; the rate is `--rate`."""

    connection_timeout = shopify.CONNECT_SECONDS
    network_timeout = shopify.TOTAL_SECONDS
    max_retries = 0
    max_redirects = 0
    insecure = False
    concurrency = 64

    @property
    def swarm(self) -> Swarm:
        """Set by the locustfile when the test starts."""
        swarm: Swarm = self.environment.onceproof
        return swarm

    def on_start(self) -> None:
        """No redirect is followed, and every status is an answer that is read to its end.

        Locust's own `allow_redirects=False` changes the client for the length of one request;
        with several requests in flight one would restore it under another.
        """
        agent: Any = self.client.client
        agent.redirect_response_codes = frozenset()
        agent.valid_response_codes = range(100, 600)

    @task
    def announce(self) -> None:
        """One order from its schedule to the last answer of its burst."""
        schedule = self.swarm.schedule
        taken = schedule.take()
        if taken is None:
            raise StopUser
        order, due_ns, turn = taken
        schedule.unfinished += 1
        try:
            if schedule.options.create_webhook:
                self.create(order, turn)
            content = shopify.body(order)
            if self.swarm.stopping.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9)):
                schedule.give_back()
                return
            self.burst(order, content, due_ns, turn)
        finally:
            schedule.unfinished -= 1

    def create(self, order: PlannedOrder, turn: int) -> None:
        """Deliver orders/create until it is acknowledged, with short pauses.

        It prepares the order, so it must not make the burst late: Shopify's pauses are for
        orders/paid.
        """
        content = shopify.body(order, paid=False)
        webhook_id = order.event_id[:-4] + "c0de"
        for attempt in range(1, CREATE_ATTEMPTS + 1):
            intent = self.intent(
                order, CREATE, webhook_id, 0, attempt, turn + attempt, time.monotonic_ns()
            )
            self.swarm.recorder.intend([intent])
            if self.deliver(order, intent, content) is Outcome.OK:
                return
            if self.swarm.stopping.wait(CREATE_RETRY_SECONDS):
                return

    def burst(self, order: PlannedOrder, content: bytes, due_ns: int, turn: int) -> None:
        """All copies at once, each over a connection and to a replica of its own."""
        intents = [
            self.intent(order, PAID, webhook.webhook_id, webhook.copy, 1, turn, due_ns)
            for webhook in order.webhooks
        ]
        self.swarm.recorder.intend(intents)
        release = Event()

        def one(intent: Intent) -> None:
            release.wait()
            if self.deliver(order, intent, content) is not Outcome.OK:
                self.swarm.retries.spawn(self.retry, order, intent, content, turn)

        copies = [self.swarm.copies.spawn(one, intent) for intent in intents]
        gevent.sleep(0)  # every copy stands at the barrier before it opens
        release.set()
        gevent.joinall(copies)

    def retry(self, order: PlannedOrder, first: Intent, content: bytes, turn: int) -> None:
        """The same id and the same body again, by Shopify's schedule, until a 2xx."""
        for attempt, delay in enumerate(self.delays(), start=2):
            if self.swarm.stopping.wait(delay):
                return
            intent = self.intent(
                order, PAID, first.webhook_id, first.copy, attempt, turn + attempt - 1,
                time.monotonic_ns(),
            )  # fmt: skip
            self.swarm.recorder.intend([intent])
            if self.deliver(order, intent, content) is Outcome.OK:
                return

    def delays(self) -> tuple[float, ...]:
        """Seconds before each retry."""
        options = self.swarm.schedule.options
        return shopify.retry_delays(options.time_scale)[: options.retries]

    def intent(
        self,
        order: PlannedOrder,
        topic: str,
        webhook_id: str,
        copy: int,
        attempt: int,
        turn: int,
        due_ns: int,
    ) -> Intent:
        """What is about to be sent, as the history has it."""
        name, _ = self.target(turn, copy)
        burst = topic == PAID and attempt == 1 and len(order.webhooks) > 1
        return Intent(
            attempt_id=f"{webhook_id}.{copy}.{attempt}",
            group_id=f"{order.order_id}" if burst else "",
            shop=SHOP,
            order_id=order.order_id,
            topic=topic,
            webhook_id=webhook_id,
            event_id=order.event_id,
            copy=copy,
            attempt=attempt,
            authentic=True,
            target=name,
            lines=order.lines,
            intended_ns=due_ns,
        )

    def target(self, turn: int, copy: int) -> tuple[str, str]:
        """Copies of one order go to different replicas on purpose."""
        targets = self.swarm.schedule.options.targets
        return targets[(turn + copy) % len(targets)]

    def deliver(self, order: PlannedOrder, intent: Intent, content: bytes) -> Outcome:
        """One POST and its completion in the history."""
        options = self.swarm.schedule.options
        path = options.webhook if intent.topic == PAID else options.create_webhook
        url = dict(options.targets)[intent.target] + path
        headers = shopify.headers(
            order, intent.webhook_id, intent.topic, shopify.sign(options.secret, content)
        )
        headers["X-Onceproof-Attempt"] = intent.attempt_id
        sent_ns = time.monotonic_ns()
        status, error = self.post(url, content, headers, intent.topic)
        return self.swarm.recorder.complete(
            intent.attempt_id,
            sent_ns=None if isinstance(error, NOTHING_SENT) else sent_ns,
            status=status,
            error=None if error is None else f"{type(error).__name__}: {error}",
        )

    def post(
        self, url: str, content: bytes, headers: dict[str, str], name: str
    ) -> tuple[int | None, BaseException | None]:
        """The status of a complete answer within the time, or what happened instead."""
        late = TimeoutError(f"no complete answer within {shopify.TOTAL_SECONDS:.0f} s")
        response: Any
        try:
            with (
                gevent.Timeout(shopify.TOTAL_SECONDS, late),
                self.client.post(
                    url, data=content, headers=headers, name=name, catch_response=True
                ) as response,
            ):
                # Set also where the head said 200 and the body was cut short: no complete answer.
                error: BaseException | None = response.request_meta["exception"]
                status: int | None = response.status_code or None
                if error is not None:
                    response.failure(error)
                elif status is None or not 200 <= status < 300:
                    response.failure(f"status {status}")
        except TimeoutError as rung_between_reads:
            return None, rung_between_reads
        return (status, None) if error is None else (None, error)
