"""The seam between what is sent and how: users hand posts over, and wait for their outcomes.

Users decide what is sent, when, to whom, under which signature, and whether it is sent again. A
transport sends each post once at its time, writes both of its records, and tells Locust's
statistics. There are two, whose histories agree (tests/e2e/test_transports.py): `pump`, a process
of its own (`loadtests.pump_transport`), and `locust`, FastHttpUser's client within this one
(`loadtests.locust_transport`).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from results.records import Intent, Outcome

TRANSPORTS = ("pump", "locust")
DEFAULT_TRANSPORT = "pump" if sys.platform == "linux" else "locust"  # the pump needs epoll


@dataclass(frozen=True, slots=True)
class Post:
    """One attempt: a request, and what the history says of it before it is sent."""

    intent: Intent
    url: str
    headers: dict[str, str]
    content: bytes


class Answer(Protocol):
    """An outcome that is on its way; `gevent.iwait` takes several."""

    value: Outcome | None  # once it is there; None: it was shed

    def get(self) -> Outcome | None:
        """Wait for it."""

    def successful(self) -> bool:
        """Whether it is there."""


class Transport(Protocol):
    """One of the two."""

    handover_seconds: float  # so long before its time a burst is handed over
    lost: str  # why nothing can be sent any more; "" as long as it can

    @property
    def full(self) -> bool:
        """Whether the history is as long as it may be."""

    @property
    def in_flight(self) -> int:
        """How many posts have no outcome yet."""

    def send(
        self, posts: Sequence[Post], due_ns: int, client: Any, *, latest_ns: int = 0
    ) -> Sequence[Answer]:
        """Release posts together, at a time or now if that is over; not begun by `latest_ns`
        (0: never), they are shed. `client` is the user's own."""

    def sync(self) -> None:
        """Make what is on file survive a power failure. Blocks."""

    def end(self, *, worker: int, planned: int, sent: int, shed: int) -> None:
        """Write the history's last line, when all is answered."""
