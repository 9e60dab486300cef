"""The user that sends: one paid order after another, each as a burst of duplicates.

A user takes the next order of the schedule, announces it by orders/create if asked to, waits for
its due time, and has the copies released together, each to another replica, by the transport
(`loadtests.transport`): it decides what is sent and when, and nothing of how. What fails is retried
by Shopify's rules in a greenlet of its own, so that a user is soon free for the next order; a 3xx
is a failure for Shopify. When the run is stopped, what is on its way is answered, and what only
waits (an order for its time, a retry for its turn) is given up.
"""

import time
import uuid
from dataclasses import replace
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group, Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests import shopify
from loadtests.dialect import CANCELLED, CREATE, PAID
from loadtests.schedule import SHED_AFTER_SECONDS, Schedule
from loadtests.traffic import FORGED_OFFSET, PlannedOrder, Webhook
from loadtests.transport import Post, Transport
from results.records import Intent, Outcome

SUFFIXES = {CREATE: "c0de", CANCELLED: "ca0c"}  # of webhook ids, made from the event's
RETRIES_IN_FLIGHT_MAX = 5_000
PREPARE_ATTEMPTS = 40
PREPARE_SECONDS = 0.05
FOLLOW_SECONDS = 0.5
LATEST_NS = 2_000_000_000
WRONG_SECRET = "0" * 32


class Swarm:
    """What all users of one process share."""

    def __init__(self, schedule: Schedule, transport: Transport) -> None:
        self.schedule = schedule
        self.transport = transport
        self.preparing = Group()
        self.retries = Pool(RETRIES_IN_FLIGHT_MAX)
        self.stopping = Event()
        self.bursts = 0
        self.ended = Event()

    @property
    def idle(self) -> bool:
        """True when nothing is on its way and no retry waits."""
        waiting = len(self.preparing) or len(self.retries)
        return not (self.schedule.unfinished or waiting or self.transport.in_flight)

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
        begun_ns = max(due_ns, time.monotonic_ns())  # later than due: nobody was free
        waited_ns = 0
        options = schedule.options
        schedule.unfinished += 1
        try:
            before = [CREATE] if options.create_webhook and not options.create_late else []
            before += [CANCELLED] if order.cancelled else []
            if before:
                preparing = self.swarm.preparing.spawn(
                    self.prepare, order, before, turn, due_ns + LATEST_NS
                )
                preparing.join(max(0.0, (due_ns + LATEST_NS - time.monotonic_ns()) / 1e9))
                # Paid is the news that comes after: this wait is the service's, not the sender's.
                waited_ns = max(0, time.monotonic_ns() - begun_ns)
            contents = options.dialect.bodies(order)
            early_ns = due_ns - int(self.swarm.transport.handover_seconds * 1e9)
            if self.swarm.stopping.wait(max(0.0, (early_ns - time.monotonic_ns()) / 1e9)):
                schedule.give_back()
                return
            self.burst(order, contents, due_ns, turn, waited_ns)
            for webhook in order.later:
                self.swarm.retries.spawn(self.follow, order, webhook, turn)
            if options.create_webhook and options.create_late:
                self.prepare(order, [CREATE], turn, due_ns + LATEST_NS)
        finally:
            schedule.unfinished -= 1

    def prepare(self, order: PlannedOrder, topics: list[str], turn: int, until_ns: int) -> None:
        """Deliver other topics of the order, each until it is acknowledged or time is over.

        With short pauses: Shopify's long ones are for orders/paid. The news of a payment does not
        wait for ever for a service that cannot take the news of an order.
        """
        for topic in topics:
            webhook = Webhook(order.event_id[:-4] + SUFFIXES[topic], 0, topic)
            content = self.body(order, webhook, topic)
            for attempt in range(1, PREPARE_ATTEMPTS + 1):
                now_ns = time.monotonic_ns()
                if attempt > 1 and now_ns >= until_ns:
                    break
                intent = self.intent(
                    order, webhook, turn + attempt, now_ns, topic=topic, attempt=attempt
                )
                if self.deliver(order, intent, content) is Outcome.OK:
                    break
                if self.swarm.stopping.wait(PREPARE_SECONDS):
                    return

    def burst(
        self, order: PlannedOrder, contents: list[bytes], due_ns: int, turn: int, waited_ns: int
    ) -> None:
        """All copies at once, each over a connection and to a replica of its own."""
        intents = [
            self.intent(order, webhook, turn, due_ns, waited_ns=waited_ns)
            for webhook in order.webhooks
        ]
        self.swarm.bursts += 1
        posts = [
            self.post(order, intent, content)
            for intent, content in zip(intents, contents, strict=True)
        ]
        if order.forgery:
            posts.append(self.forged(order, due_ns, turn))
        latest_ns = max(due_ns, time.monotonic_ns()) + int(SHED_AFTER_SECONDS * 1e9)
        answers = self.swarm.transport.send(posts, due_ns, self.client, latest_ns=latest_ns)
        copies = dict(zip(answers, zip(order.webhooks, contents, strict=True), strict=False))
        for answer in gevent.iwait(answers):
            if answer in copies and answer.value is not Outcome.OK and answer.value is not None:
                self.swarm.retries.spawn(self.retry, order, *copies[answer], turn)
        if answers[0].successful() and answers[0].value is None:  # with all the others
            self.swarm.schedule.shed_taken()

    def body(self, order: PlannedOrder, webhook: Webhook, topic: str = PAID) -> bytes:
        """The bytes of a webhook, as the service's sender would make them."""
        return self.swarm.schedule.options.dialect.body(order, topic, webhook.webhook_id)

    def follow(self, order: PlannedOrder, webhook: Webhook, turn: int) -> None:
        """A delivery that comes when the burst is long answered, and its retries."""
        if self.swarm.stopping.wait(FOLLOW_SECONDS):
            return
        content = self.body(order, webhook)
        intent = self.intent(order, webhook, turn, time.monotonic_ns())
        if self.deliver(order, intent, content) is not Outcome.OK:
            self.retry(order, webhook, content, turn)

    def retry(self, order: PlannedOrder, webhook: Webhook, content: bytes, turn: int) -> None:
        """The same body again by Shopify's schedule, until a 2xx; the same id unless told so."""
        options = self.swarm.schedule.options
        delays = shopify.retry_delays(options.time_scale)[: options.retries]
        for attempt, delay in enumerate(delays, start=2):
            if self.swarm.stopping.wait(delay):
                return
            if options.mix.rotate_ids:
                rotated = str(uuid.uuid5(uuid.UUID(webhook.webhook_id), str(attempt)))
                webhook = replace(webhook, webhook_id=rotated)
                content = self.body(order, webhook)
            intent = self.intent(
                order, webhook, turn + attempt - 1, time.monotonic_ns(), attempt=attempt
            )
            if self.deliver(order, intent, content) is Outcome.OK:
                return

    def forged(self, order: PlannedOrder, due_ns: int, turn: int) -> Post:
        """A delivery that nobody authentic sent: it must be refused and change nothing."""
        fake = replace(order, order_id=order.order_id + FORGED_OFFSET)
        webhook = Webhook(str(uuid.uuid5(uuid.UUID(order.event_id), "forged")), 0, "forged")
        content = self.body(fake, webhook)
        intent = self.intent(fake, webhook, turn, due_ns)
        sign, at_seconds = self.swarm.schedule.options.dialect.scheme.sign, int(time.time())
        signatures = {
            "unsigned": "",
            "garbled": "!" * 44,
            "short": "c2hvcnQ=",
            "wrong-secret": sign(WRONG_SECRET, content, webhook.webhook_id, at_seconds),
            "tampered": sign(
                self.secret, self.body(order, webhook), webhook.webhook_id, at_seconds
            ),
        }
        return self.post(fake, intent, content, signatures[order.forgery])

    @property
    def secret(self) -> str:
        """What Shopify signs with now: the next secret once enough bursts were released."""
        options = self.swarm.schedule.options
        rotated = options.rotate_after and self.swarm.bursts > options.rotate_after
        return options.next_secret if rotated else options.secret

    def intent(
        self, order: PlannedOrder, webhook: Webhook, turn: int, due_ns: int, *,
        topic: str = PAID, attempt: int = 1, waited_ns: int = 0,
    ) -> Intent:  # fmt: skip
        """What is about to be sent, as the history has it."""
        name, _ = self.target(turn, webhook.copy)
        burst = webhook.kind == "paid" and attempt == 1 and len(order.webhooks) > 1
        return Intent(
            attempt_id=f"{webhook.webhook_id}.{webhook.copy}.{attempt}",
            group_id=f"{order.shop}/{order.order_id}" if burst else "",
            shop=order.shop,
            order_id=order.order_id,
            topic=topic,
            webhook_id=webhook.webhook_id,
            event_id=order.event_id,
            copy=webhook.copy,
            attempt=attempt,
            authentic=webhook.kind != "forged",
            target=name,
            lines=order.lines,
            intended_ns=due_ns,
            waited_ns=waited_ns,
            kind=webhook.kind,
        )

    def target(self, turn: int, copy: int) -> tuple[str, str]:
        """Copies of one order go to different replicas on purpose."""
        targets = self.swarm.schedule.options.targets
        return targets[(turn + copy) % len(targets)]

    def deliver(self, order: PlannedOrder, intent: Intent, content: bytes) -> Outcome:
        """One delivery by itself, now, and its outcome."""
        post = self.post(order, intent, content)
        (answer,) = self.swarm.transport.send([post], intent.intended_ns, self.client)
        return answer.get() or Outcome.INFO

    def post(
        self, order: PlannedOrder, intent: Intent, content: bytes, signature: str | None = None
    ) -> Post:
        """What is sent for an intent; `signature` instead of the right one, "" for none."""
        options = self.swarm.schedule.options
        path = {PAID: options.webhook, CREATE: options.create_webhook}.get(
            intent.topic, options.cancel_webhook
        )
        url = dict(options.targets)[intent.target] + path
        dialect = options.dialect
        headers = dialect.headers(order, intent.webhook_id, intent.topic, self.secret, content)
        headers["X-Onceproof-Attempt"] = intent.attempt_id
        if signature:
            headers[dialect.scheme.header] = signature
        elif signature is not None:
            del headers[dialect.scheme.header]
        return Post(intent, url, headers, content)
