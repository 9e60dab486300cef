"""Posts through a pump, a process of its own; `--transport pump`.

A burst is made here as finished bytes, signed, and handed over a tenth of a second before its time,
which is more than Locust's thread is ever busy with other things. What comes back is told to the
users that wait for it and to Locust's statistics. There a response time counts from the time at
which a delivery was due, so that a service that stood still shows in the web form as well.

When the pump is gone, nothing can be sent: the run ends, and its history has no last line.
"""

import itertools
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import msgspec
from gevent.event import AsyncResult
from geventhttpclient.url import URL

from loadtests import recorder, shopify
from loadtests.pump.frames import Answered, Burst, End, Ended, Hello, Result, Shot, Target
from loadtests.pump.link import Pump
from loadtests.transport import Post
from results.records import Outcome

END_SECONDS = shopify.TOTAL_SECONDS + 2.0
URL_CHARACTERS = "/%?:@!$&'()*+,;=~"  # beside letters and digits: what has a meaning already
logger = logging.getLogger("onceproof")
DEFAULT_PORTS = {"http": 80, "https": 443}


class PumpTransport:
    """Sends by another process."""

    handover_seconds = 0.1

    def __init__(
        self, history: Path, urls: Iterable[str], events: Any, *, hide: Iterable[str],
        last_byte: bool = False,
    ) -> None:  # fmt: skip
        """Start the pump; HarnessError when it does not come up.

        `hide` names variables that hold secrets, `events` are Locust's. With `last_byte` copies
        are sent but for their last bytes, which are what is released together.
        """
        history.parent.mkdir(parents=True, exist_ok=True)
        places = {place(URL(url)) for url in urls}
        self._targets = {target: at for at, target in enumerate(places)}
        self._pump = Pump.start(
            Hello(
                history=str(history), targets=tuple(self._targets),
                connect_seconds=shopify.CONNECT_SECONDS, total_seconds=shopify.TOTAL_SECONDS,
            ),
            hide=list(hide),
        )  # fmt: skip
        self._file = os.open(history, os.O_RDONLY)
        self._events = events
        self._last_byte = last_byte
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[AsyncResult, Post]] = {}
        self._addresses: dict[str, tuple[int, str]] = {}  # of URLs: target, beginning of a head
        self.lost = ""
        self._hearing = gevent.spawn(self._hear)

    @property
    def full(self) -> bool:
        """Whether the history is as long as it may be."""
        return os.fstat(self._file).st_size > recorder.HISTORY_MAX_BYTES

    @property
    def in_flight(self) -> int:
        """How many posts have no outcome yet."""
        return len(self._waiting)

    def send(
        self, posts: Sequence[Post], due_ns: int, client: Any, *, latest_ns: int = 0
    ) -> Sequence[Any]:
        """Hand them over; one that finds the pump gone is HarnessError."""
        contents: dict[int, int] = {}  # copies share a body
        bodies: list[bytes] = []
        shots, answers = [], []
        for post in posts:
            at = contents.setdefault(id(post.content), len(bodies))
            if at == len(bodies):
                bodies.append(post.content)
            number, answer = next(self._numbers), AsyncResult()
            self._waiting[number] = answer, post
            answers.append(answer)
            target, begin = self._address(post.url)
            shots.append(Shot(number, post.intent.attempt_id, target, head(begin, post), at))
        last_byte = self._last_byte and len(posts) > 1
        intents = b"".join(msgspec.json.encode(post.intent) + b"\n" for post in posts)
        self._pump.send(Burst(due_ns, tuple(shots), tuple(bodies), intents, latest_ns, last_byte))
        return answers

    def sync(self) -> None:
        """Make what is on file survive a power failure."""
        os.fsync(self._file)

    def end(self, *, worker: int, planned: int, sent: int, shed: int) -> None:
        """The pump writes the last line, when all is answered."""
        if not self.lost:
            self._pump.send(End(worker, planned, sent, shed))
            self._hearing.join(END_SECONDS)
        self._hearing.kill()
        self._pump.stop()
        os.close(self._file)

    def _address(self, url: str) -> tuple[int, str]:
        known = self._addresses.get(url)
        if known is None:
            parsed = URL(url)
            known = self._targets[place(parsed)], beginning(parsed)
            self._addresses[url] = known
        return known

    def _hear(self) -> None:
        for frame in self._pump.hear():
            if isinstance(frame, Answered):
                for result in frame.results:
                    self._answered(result)
            elif isinstance(frame, Ended):
                if frame.late or frame.shed:
                    logger.warning(
                        "onceproof: the pump released %d bursts late and shed %d",
                        frame.late, frame.shed,
                    )  # fmt: skip
                return
        self.lost = "the pump ended by itself"
        for answer, _ in self._waiting.values():
            answer.set(Outcome.INFO)
        self._waiting.clear()

    def _answered(self, result: Result) -> None:
        answer, post = self._waiting.pop(result.number)
        if result.shed:
            answer.set(None)
            return
        answer.set(recorder.outcome_of(result.sent_ns, result.status))
        problem = result.error
        if problem is None and (result.status is None or not 200 <= result.status < 300):
            problem = f"status {result.status}"
        due_ns = post.intent.intended_ns + post.intent.waited_ns
        self._events.request.fire(
            request_type="POST", name=post.intent.topic, response_length=0, context={},
            response_time=max(0.0, (result.done_ns - due_ns) / 1e6), exception=problem,
        )  # fmt: skip


def place(url: URL) -> Target:
    """Where a URL leads."""
    return Target(url.hostname, url.port or DEFAULT_PORTS[url.scheme], url.scheme == "https")


def beginning(url: URL) -> str:
    """The lines of a head that say where to."""
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    if not host.isascii():
        host = host.encode("idna").decode()
    if url.port not in (None, DEFAULT_PORTS[url.scheme]):
        host += f":{url.port}"
    return f"POST {quote(url.request_uri, safe=URL_CHARACTERS)} HTTP/1.1\r\nHost: {host}\r\n"


def head(begin: str, post: Post) -> bytes:
    """A whole head."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in post.headers.items()])
    return f"{begin}Content-Length: {len(post.content)}\r\n{fields}\r\n".encode("latin-1")
