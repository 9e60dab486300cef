"""The loop: bursts wait for their time, are written down, are released, and are answered.

An open model: a burst leaves at its due time, whatever became of those before it. A thousandth of
a second ahead its intents are written and its connections, reserved when it came, are there; then
the loop sleeps, and spins for the last `SPIN_NS`. Between two events of a busy round the clock is
looked at again, so that a wave of answers delays nobody for long.

What waits is bounded (`WAITING_MAX`, `WAITING_MAX_BYTES`: then Locust has to wait), and so is what
is in flight: bursts beyond that wait for room, and one that had none by its `latest_ns` is shed,
with no trace in the history but the count at its end.
"""

import gc
import heapq
import itertools
import socket
import time
from collections import deque
from collections.abc import Sequence

from loadtests.pump.book import Book
from loadtests.pump.connection import Attempt, Connection
from loadtests.pump.flights import Flights
from loadtests.pump.frames import Answered, Burst, End, Ended, Hello, Ready, packed
from loadtests.pump.poll import Poll
from loadtests.pump.stream import Stream
from loadtests.pump.targets import Target
from results.records import GeneratorEnd

SPIN_NS = 60_000
ARM_NS = 1_000_000
SETTLE_NS = 4_000_000  # between all but the last byte and the last one
LATE_NS = 10_000_000
SLEEP_MAX_NS = 50_000_000
QUIET_NS = 20_000_000  # nothing is due for so long: time to look for garbage
COLLECT_NS = 1_000_000_000
COLLECT_LATEST_NS = 30_000_000_000  # quiet or not: it takes a millisecond
WAITING_MAX = 2_048
WAITING_MAX_BYTES = 16 << 20
RESULTS_MAX = 256  # of one frame
TELL_NS = 2_000_000  # so long a result waits for others, to be written and told with them
clock = time.monotonic_ns


class Group:
    """A burst between its coming and its release."""

    __slots__ = ("ahead", "armed", "attempts", "burst", "due_ns", "last_byte", "latest_ns",
                 "release_ns", "reserved", "size")  # fmt: skip

    def __init__(self, burst: Burst, targets: Sequence[Target]) -> None:
        self.due_ns = self.release_ns = burst.due_ns
        self.latest_ns = burst.latest_ns
        self.burst: Burst | None = burst
        self.attempts = [
            Attempt(one.number, one.attempt_id, targets[one.target]) for one in burst.shots
        ]
        self.size = len(burst.intents) + sum(map(len, burst.contents))
        self.last_byte = burst.last_byte
        self.ahead = False  # all but its last bytes have gone
        self.armed = False  # its intents are on file
        self.reserved = False
        if burst.last_byte:
            self.release_ns -= SETTLE_NS  # when its next bytes leave

    def make(self) -> bytes:
        """Make its requests, shortly before they are needed; the lines of its intents."""
        burst, self.burst = self.burst, None
        assert burst is not None
        contents = burst.contents
        for attempt, shot in zip(self.attempts, burst.shots, strict=True):
            request = shot.head + contents[shot.content]
            if self.last_byte:
                request, attempt.held = request[:-1], request[-1:]
            attempt.request = request
        return burst.intents


class Engine:
    """All of one pump; `run` returns when it is over."""

    def __init__(self, link: socket.socket, hello: Hello, in_flight_max: int) -> None:
        self._poll = Poll()
        self._book = Book(hello.history)
        self._flights = Flights(hello, self._poll, self._book, in_flight_max)
        self._stream = Stream(link, self._poll)
        self._numbers = itertools.count()
        self._timetable: list[tuple[int, int, Group]] = []  # a heap
        self._crowded: deque[Group] = deque()  # due, and there is no room
        self._waiting_bytes = 0
        self._late = self._shed = 0
        self._end: End | None = None
        self._collected_ns = 0
        self._tell_ns = 0  # when the results that wait are to be told; 0: there are none
        self._stream.write(packed(Ready(in_flight_max)))

    def run(self) -> None:
        """Until all is answered after an `End`. ConnectionError when Locust is gone."""
        timetable = self._timetable
        while self._end is None or self._flights.open or timetable or self._crowded:
            for fd, _ in self._poll.wait(self._pause_seconds()):
                one = self._poll.by_fd.get(fd)
                if isinstance(one, Connection):
                    self._flights.happened(one)
                elif one is self._stream:
                    for frame in self._stream.read():
                        self._take(frame)
                if timetable and timetable[0][0] <= clock():
                    self._keep_time()
            self._keep_time()
            now = clock()
            self._flights.give_up_late(now)
            if self._flights.results:
                self._tell_ns = self._tell_ns or now + TELL_NS
                if now >= self._tell_ns or len(self._flights.results) >= RESULTS_MAX:
                    self._tell()
        self._tell()
        self._book.close(
            GeneratorEnd(
                worker=self._end.worker, planned_orders=self._end.planned,
                sent_orders=self._end.sent, shed_orders=self._end.shed, at_ns=clock(),
            )
        )  # fmt: skip
        self._stream.write(packed(Ended(self._late, self._shed)))
        self._stream.drain()

    def _pause_seconds(self) -> float:
        """How long nothing is due. Spins when it is not worth a sleep."""
        now = clock()
        until = now + SLEEP_MAX_NS
        if self._timetable:
            at, _, group = self._timetable[0]
            if group.armed and at - now <= SPIN_NS:
                while clock() < at:
                    pass
                self._keep_time()
                return 0
            until = min(until, at - SPIN_NS if group.armed else at)
        until = self._flights.next_deadline_ns(until)
        if self._tell_ns:
            until = min(until, self._tell_ns)
        since_ns = now - self._collected_ns
        idle = not self._flights.open and until - now > QUIET_NS
        if (idle and since_ns > COLLECT_NS) or since_ns > COLLECT_LATEST_NS:
            self._collected_ns = now
            gc.collect()  # by itself it would choose the busiest moment
        return max(0.0, (until - now) / 1e9)

    def _take(self, frame: object) -> None:
        """What Locust says."""
        if isinstance(frame, End):
            self._end = frame
            return
        if not isinstance(frame, Burst):
            raise ValueError("a second hello")
        group = Group(frame, self._flights.targets)
        self._waiting_bytes += group.size
        arm_ns = group.release_ns - ARM_NS
        if arm_ns > clock():
            if self._has_room(group):
                self._reserve(group)
            self._at(arm_ns, group)
        else:
            self._crowded.append(group)
        if self._is_full:
            self._stream.pause()

    @property
    def _is_full(self) -> bool:
        waiting = len(self._timetable) + len(self._crowded)
        return waiting >= WAITING_MAX or self._waiting_bytes >= WAITING_MAX_BYTES

    def _at(self, at_ns: int, group: Group) -> None:
        heapq.heappush(self._timetable, (at_ns, next(self._numbers), group))

    def _keep_time(self) -> None:
        """Write down and release what is due."""
        timetable, now = self._timetable, clock()
        released: list[Group] = []
        lines: list[bytes] = []
        while timetable and (timetable[0][0] <= now or self._end is not None):
            group = heapq.heappop(timetable)[2]
            if group.armed:
                released.append(group)
            else:
                self._crowded.append(group)
        while self._crowded:
            group = self._crowded[0]
            if 0 < group.latest_ns < now or (self._end is not None and group.due_ns > now):
                self._give_up(self._crowded.popleft())
            elif self._has_room(group):
                self._arm(self._crowded.popleft(), now, lines, released)
            else:
                break
        if lines:
            self._book.intend(lines)
        if not self._is_full:
            self._stream.resume()
        for group in released:
            self._release(group)

    def _has_room(self, group: Group) -> bool:
        flights = self._flights
        return (
            group.reserved or not flights.open or flights.open + len(group.attempts) <= flights.most
        )

    def _reserve(self, group: Group) -> None:
        if not group.reserved:
            group.reserved = True
            self._flights.reserve(group.attempts)

    def _arm(self, group: Group, now: int, lines: list[bytes], released: list[Group]) -> None:
        """Its intents go on file; it is released at its time, or with those of now."""
        self._reserve(group)
        self._waiting_bytes -= group.size
        group.armed = True
        lines.append(group.make())
        if group.release_ns > now:
            self._at(group.release_ns, group)
        else:
            released.append(group)

    def _release(self, group: Group) -> None:
        if group.ahead:
            self._flights.release_last_bytes(group.attempts)
            return
        if clock() - group.release_ns > LATE_NS:
            self._late += 1
        self._flights.release(group.attempts)
        if group.last_byte:
            group.ahead, group.release_ns = True, group.due_ns
            self._at(group.due_ns, group)

    def _give_up(self, group: Group) -> None:
        self._waiting_bytes -= group.size
        self._shed += 1
        for attempt in group.attempts:
            self._flights.cancel(attempt, reserved=group.reserved)

    def _tell(self) -> None:
        """The answers of some rounds go on file, and then to Locust."""
        self._tell_ns = 0
        self._book.flush()
        results = self._flights.results
        for at in range(0, len(results), RESULTS_MAX):
            self._stream.write(packed(Answered(tuple(results[at : at + RESULTS_MAX]))))
        results.clear()
