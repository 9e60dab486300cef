"""Attempts in flight: connections are found for them, they are sent, answered, or given up.

Every attempt ends here, once, as a completion in the history and a result for Locust. What has an
answer keeps its connection for the next; whatever else happened, the connection is closed.
"""

import time
from collections import deque
from collections.abc import Iterable

from loadtests.pump import targets
from loadtests.pump.book import Book
from loadtests.pump.connection import BUSY, READY, Attempt, Connection
from loadtests.pump.frames import Hello, Result
from loadtests.pump.poll import Poll
from loadtests.pump.response import BadResponseError

clock = time.monotonic_ns


class Flights:
    """All attempts of one pump that have a connection, or are in need of one."""

    def __init__(self, hello: Hello, poll: Poll, book: Book, most: int) -> None:
        self.open = 0
        self.most = most
        self.results: list[Result] = []
        self._poll = poll
        self._book = book
        self.targets = targets.made(hello.targets)
        self._connect_ns = int(hello.connect_seconds * 1e9)
        self._total_ns = int(hello.total_seconds * 1e9)
        self._no_answer = f"TimeoutError: no complete answer within {hello.total_seconds:g} s"
        self._no_connection = f"TimeoutError: no connection within {hello.connect_seconds:g} s"
        # Both in the order in which they were begun, so that the first one ends first.
        self._connecting: deque[Attempt] = deque()
        self._answering: deque[Attempt] = deque()
        self._idle = 0

    def reserve(self, attempts: Iterable[Attempt]) -> None:
        """A connection for each, taken or begun, so that it is there in time."""
        for attempt in attempts:
            self.open += 1
            self._connect(attempt)

    def cancel(self, attempt: Attempt, *, reserved: bool) -> None:
        """It is not sent, and leaves no trace."""
        if reserved:
            self.open -= 1
            self._part(attempt, reusable=True)
        self.results.append(Result(attempt.number, None, clock(), None, "shed", True))

    def release(self, attempts: Iterable[Attempt]) -> None:
        """Send them back to back: what could be done before has been."""
        for attempt in attempts:
            connection = attempt.connection
            attempt.begun_ns = now = clock()
            attempt.deadline_ns = now + self._total_ns
            self._answering.append(attempt)
            if connection is not None and connection.state == READY:
                try:
                    connection.send(attempt)
                except OSError as error:
                    self._fail(attempt, error)
            else:
                self._begin_unconnected(attempt)

    def release_last_bytes(self, attempts: Iterable[Attempt]) -> None:
        """The rest of those that were held back."""
        for attempt in attempts:
            connection = attempt.connection
            if connection is None or attempt.done:
                continue
            if connection.state != BUSY:  # still connecting: all of it at once
                attempt.request, attempt.held = attempt.request + attempt.held, b""
                continue
            try:
                connection.release(attempt)
            except OSError as error:
                self._fail(attempt, error)

    def happened(self, connection: Connection) -> None:
        """Something can be read from it or written to it, or it broke."""
        attempt = connection.attempt
        try:
            if connection.state == BUSY:
                assert attempt is not None
                # It may have answered, and closed, before it was told all.
                if connection.read():
                    self._answered(attempt)
                elif attempt.request:
                    connection.write_on()
            elif connection.state == READY:
                if not connection.quiet():
                    self._broke(connection)
            elif connection.advance() and attempt is not None and attempt.begun_ns:
                connection.send(attempt)
        except (OSError, BadResponseError) as error:
            if attempt is None or not attempt.begun_ns:
                self._broke(connection)
            else:
                self._fail(attempt, error)

    def next_deadline_ns(self, latest_ns: int) -> int:
        """When the next one may have to be given up, if that is before `latest_ns`."""
        if self._answering:
            latest_ns = min(latest_ns, self._answering[0].deadline_ns)
        if self._connecting:
            latest_ns = min(latest_ns, self._connecting[0].begun_ns + self._connect_ns)
        return latest_ns

    def give_up_late(self, now_ns: int) -> None:
        """End those whose time is over."""
        answering, connecting = self._answering, self._connecting
        while answering and (answering[0].done or answering[0].deadline_ns <= now_ns):
            attempt = answering.popleft()
            if not attempt.done:
                self._finish(attempt, None, self._no_answer)
        while connecting and (
            connecting[0].done
            or connecting[0].left
            or connecting[0].begun_ns + self._connect_ns <= now_ns
        ):
            attempt = connecting.popleft()
            if not attempt.done and not attempt.left:
                self._finish(attempt, None, self._no_connection)

    # ------------------------------------------------------------------------- inside

    def _connect(self, attempt: Attempt) -> BaseException | None:
        """Take an idle connection or begin a new one; what went wrong, if neither can be."""
        target = attempt.target
        if target.idle:
            self._idle -= 1
            connection = target.idle.pop()
        else:
            try:
                connection = Connection(target, self._poll)
            except OSError as error:
                return error
        connection.attempt, attempt.connection = attempt, connection
        return None

    def _begin_unconnected(self, attempt: Attempt) -> None:
        """Its time has come; what was reserved for it is gone or not ready."""
        problem = None if attempt.connection is not None else self._connect(attempt)
        connection = attempt.connection
        if connection is None:
            self._fail(attempt, problem or OSError("no connection"))
        elif connection.state == READY:
            try:
                connection.send(attempt)
            except OSError as error:
                self._fail(attempt, error)
        else:
            self._connecting.append(attempt)

    def _broke(self, connection: Connection) -> None:
        """It ended while nothing was under way on it: whoever had reserved it gets another."""
        attempt = connection.attempt
        if attempt is None:
            connection.target.idle.remove(connection)
            self._idle -= 1
            connection.close()
            return
        refused = connection.state != READY
        self._part(attempt, reusable=False)
        if not refused:  # else its time will tell
            self._connect(attempt)

    def _answered(self, attempt: Attempt) -> None:
        told_all = not attempt.request and not attempt.held
        self._finish(attempt, attempt.status, None, reusable=told_all and attempt.reusable)

    def _fail(self, attempt: Attempt, error: BaseException) -> None:
        self._finish(attempt, None, f"{type(error).__name__}: {error}")

    def _finish(
        self, attempt: Attempt, status: int | None, error: str | None, *, reusable: bool = False
    ) -> None:
        attempt.done = True
        done_ns = clock()
        sent_ns = attempt.begun_ns if attempt.left else None
        self._book.complete(attempt.attempt_id, sent_ns, done_ns, status, error)
        self.results.append(Result(attempt.number, sent_ns, done_ns, status, error))
        self.open -= 1
        self._part(attempt, reusable=reusable)
        attempt.request, attempt.response = b"", None

    def _part(self, attempt: Attempt, *, reusable: bool) -> None:
        """Take its connection from it, and keep or close that."""
        connection, attempt.connection = attempt.connection, None
        if connection is None:
            return
        connection.attempt = None
        usable = connection.state in (BUSY, READY)
        if reusable and usable and self._idle < self.most:
            connection.state = READY
            self._idle += 1
            connection.target.idle.append(connection)
        else:
            connection.close()
