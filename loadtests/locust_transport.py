"""Posts through FastHttpUser's client, a greenlet for each; `--transport locust`.

The client never sends anything twice by itself: re-sends are off, and redirects are not followed.
Shopify's 5 seconds are for the whole request, so one timer stands over connect, send and read.

Limits: everything shares one thread, so what is released together leaves with the gaps of a
greenlet's turn, and late when Locust is busy. It never sheds: who waits for a turn has it.
"""

import socket
import time
from collections.abc import Sequence
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

from loadtests import shopify
from loadtests.recorder import Recorder
from loadtests.transport import Post
from results.records import Outcome

READ_BYTES = 1 << 16
# These errors of a POST come before a connection exists: not one byte has left.
NOTHING_SENT = (ConnectionRefusedError, socket.gaierror)


class LocustTransport:
    """Sends in this process."""

    handover_seconds = 0.0
    lost = ""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._copies = Group()

    @property
    def full(self) -> bool:
        """Whether the history is as long as it may be."""
        return self._recorder.full

    @property
    def in_flight(self) -> int:
        """How many posts have no outcome yet."""
        return len(self._copies)

    def send(
        self, posts: Sequence[Post], due_ns: int, client: Any, *, latest_ns: int = 0
    ) -> Sequence[Any]:
        """Now: the user has waited."""
        self._recorder.intend([post.intent for post in posts])
        release = Event()

        def one(post: Post) -> Outcome:
            release.wait()
            return self._deliver(post, client)

        copies = [self._copies.spawn(one, post) for post in posts]
        if len(posts) > 1:
            gevent.sleep(0)  # every copy stands at the barrier before it opens
        release.set()
        return copies

    def sync(self) -> None:
        """Make what is on file survive a power failure."""
        self._recorder.sync()

    def end(self, *, worker: int, planned: int, sent: int, shed: int) -> None:
        """The last line."""
        self._recorder.end(worker=worker, planned=planned, sent=sent, shed=shed)

    def _deliver(self, post: Post, client: Any) -> Outcome:
        sent_ns = time.monotonic_ns()
        status, error = answer(post, client)
        return self._recorder.complete(
            post.intent.attempt_id,
            sent_ns=None if isinstance(error, NOTHING_SENT) else sent_ns,
            status=status,
            error=None if error is None else f"{type(error).__name__}: {error}",
        )


def answer(post: Post, client: Any) -> tuple[int | None, BaseException | None]:
    """The status of a complete answer within the time, or what happened instead."""
    late = TimeoutError(f"no complete answer within {shopify.TOTAL_SECONDS:.0f} s")
    response: Any
    try:
        with (
            gevent.Timeout(shopify.TOTAL_SECONDS, late),
            client.post(
                post.url, data=post.content, headers=post.headers, name=post.intent.topic,
                catch_response=True, stream=True,
            ) as response,
        ):  # fmt: skip
            error: BaseException | None = response.request_meta["exception"]
            # A head that said 200 before a body that was cut short is no complete answer.
            error = error or read_to_end(response)
            status: int | None = response.status_code or None
            if error is not None:
                response.failure(error)
            elif status is None or not 200 <= status < 300:
                response.failure(f"status {status}")
    except TimeoutError as rung_between_reads:
        return None, rung_between_reads
    return (status, None) if error is None else (None, error)


def read_to_end(response: Any) -> BaseException | None:
    """Read an answer's body without keeping it, however long it is; what went wrong, if it did.

    Locust's own reading keeps all of it. The time that it took belongs to the answer.
    """
    begun = time.perf_counter()
    try:
        while response._response.read(READ_BYTES):
            pass
    except FAILURE_EXCEPTIONS as error:
        return error
    response.request_meta["response_time"] += (time.perf_counter() - begun) * 1000
    return None
