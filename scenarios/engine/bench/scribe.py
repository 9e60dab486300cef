"""`python -m scenarios.engine.bench.scribe WRITER FILE`: writes a history until it is killed.

What it writes is what a swarm of pairs would: the intents of both copies before the first byte,
then a completion of each. Every thousand records it says on standard output how many were written
by then and how much CPU time that took: whatever it has said must be in the file.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from loadtests.pump.book import Book
from loadtests.recorder import Recorder
from results.records import Intent, Line

SYNC_SECONDS = 0.5
SAY_EVERY = 1_000
UUID = "6f1c9f0e-3f0a-4a51-9d5c-7f7a3b1c2d3e"
LINES = (Line(sku="SKU-1", quantity=2),)


def pairs() -> Iterator[tuple[Intent, Intent]]:
    """Two copies of one order after the other."""
    order_id = 910_000_000_000_000_000
    while True:
        order_id += 1
        first, second = (
            Intent(
                attempt_id=f"{order_id}.{copy}.1", group_id=str(order_id),
                shop="onceproof-demo.myshopify.com", order_id=order_id, topic="orders/paid",
                webhook_id=UUID, event_id=UUID, copy=copy, attempt=1, authentic=True,
                target="web-0", lines=LINES, intended_ns=time.monotonic_ns(),
            )
            for copy in (0, 1)
        )  # fmt: skip
        yield first, second


def with_recorder(file: Path) -> Callable[[tuple[Intent, Intent]], None]:
    """The swarm's own: one write for a burst, one for each answer."""
    recorder = Recorder(file)
    due = time.monotonic() + SYNC_SECONDS

    def write(pair: tuple[Intent, Intent]) -> None:
        nonlocal due
        recorder.intend(pair)
        for intent in pair:
            recorder.complete(
                intent.attempt_id, sent_ns=intent.intended_ns, status=200, error=None
            )  # fmt: skip
        if time.monotonic() > due:
            recorder.sync()
            due = time.monotonic() + SYNC_SECONDS

    return write


def with_book(file: Path) -> Callable[[tuple[Intent, Intent]], None]:
    """The pump's: one write for a burst, one for the answers that came together.

    Whoever feeds a pump encodes the intents; here that is counted as well.
    """
    book = Book(str(file))
    encode = msgspec.json.Encoder().encode

    def write(pair: tuple[Intent, Intent]) -> None:
        book.intend([encode(intent) + b"\n" for intent in pair])
        for intent in pair:
            now_ns = time.monotonic_ns()
            book.complete(intent.attempt_id, intent.intended_ns, now_ns, 200, None)
        book.flush()

    return write


WRITERS = {"recorder": with_recorder, "book": with_book}


def main() -> None:
    """Write, and say so."""
    write = WRITERS[sys.argv[1]](Path(sys.argv[2]))
    begun = time.process_time()
    for number, pair in enumerate(pairs(), 1):
        write(pair)
        if number * 4 % SAY_EVERY == 0:
            sys.stdout.write(f"{number * 4} {time.process_time() - begun:.6f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
