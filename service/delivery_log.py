"""One line a delivery on stdout, in the form of all other lines, at a tenth of their price.

structlog puts a line together from a chain of functions and flushes it by itself: twelve of the
twenty-five microseconds that a whole delivery may take. These lines have a fixed form, so msgspec
writes them; and they wait for the end of the event loop's turn, so that deliveries that were
answered together cost one write.

Limits: a process that is killed takes the lines of its last turn with it.
"""

import asyncio
import datetime
import logging
import sys

import msgspec
import structlog


class Line(msgspec.Struct):
    """What is told of a delivery; no customer's data and no signature."""

    role: str
    level: str
    event: str
    timestamp: datetime.datetime
    topic: str
    status: int
    outcome: str
    order_id: int | None
    webhook_id: str | None
    ms: float


class DeliveryLog:
    """Writes unless the logs are set to less than `info`."""

    def __init__(self) -> None:
        self._wanted = structlog.get_logger().is_enabled_for(logging.INFO)
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []

    def tell(
        self, topic: str, status: int, outcome: str, order_id: int | None, webhook_id: str | None,
        seconds: float,
    ) -> None:  # fmt: skip
        """Write one line soon."""
        if not self._wanted:
            return
        now = datetime.datetime.now(datetime.UTC)
        line = Line("web", "info", "delivery", now, topic, status, outcome, order_id, webhook_id,
                    round(seconds * 1000, 3))  # fmt: skip
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(self._encoder.encode(line))

    def _write(self) -> None:
        sys.stdout.write(b"\n".join(self._lines).decode() + "\n")
        sys.stdout.flush()
        self._lines.clear()
