"""`python -m scenarios.engine.bench.hammer`: as many signed orders as a service takes; JSON.

Its requests are put together and signed before the clock starts, so that it costs the machine
little while it measures; all that differs between two of them stands in their first lines, the rest
of the body is shared. `--rate 0` is a closed loop: a connection sends when it has been answered.
Otherwise requests leave at times drawn from a Poisson process, over whatever connection is free,
and a latency begins when its request was due, whether it could leave or not.

Limits: HTTP/1.1 with a length, no pipelining; an answer that comes in pieces begins with its
status line, and is taken as whole when its body is.
"""

import argparse
import asyncio
import base64
import contextlib
import hmac
import json
import random
import sys
import time
from collections import deque
from typing import NamedTuple, cast

import uvloop

FIRST_ORDER = 910_000_000_000_000_000
APART = 1_000  # so that a double, which is all that JavaScript has, tells two ids apart
SHOP = "onceproof-demo.myshopify.com"
SKUS = 100
SECRET = b"of the benchmark"
GRACE_SECONDS = 2.0
FILLING = {
    "note": "x" * 400,
    "addresses": [{"street": "Dry Dock Lane 7", "town": "Port", "code": "10 115"}] * 85,
}  # with it a body is as long as an ordinary order of Shopify's, some five kilobytes


class Request(NamedTuple):
    """What is sent: a part of its own, and one that others have, too."""

    own: bytes
    shared: bytes


def requests(count: int, port: int) -> list[Request]:
    """So many orders, signed."""
    shared = []
    for at in range(SKUS):
        lines = [{"sku": f"ONCE-{at + 1:03}", "quantity": 1, "title": "Blue", "price": "10.50"}]
        order = {"total_price": "10.50", "line_items": lines, **FILLING}
        shared.append(json.dumps(order, separators=(",", ":"))[1:].encode())
    made = []
    for at in range(count):
        rest = shared[at % SKUS]
        begin = b'{"id":%d,' % (FIRST_ORDER + at * APART)
        length = len(begin) + len(rest)
        signed = base64.b64encode(hmac.digest(SECRET, begin + rest, "sha256")).decode()
        head = (
            f"POST /webhooks/orders/paid HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n"
            "User-Agent: Shopify-Captain-Hook\r\nContent-Type: application/json\r\n"
            f"X-Shopify-Topic: orders/paid\r\nX-Shopify-Shop-Domain: {SHOP}\r\n"
            f"X-Shopify-Webhook-Id: {at:08x}-0000-4000-8000-000000000000\r\n"
            f"X-Shopify-Hmac-Sha256: {signed}\r\nContent-Length: {length}\r\n\r\n"
        )
        made.append(Request(head.encode() + begin, rest))
    return made


class Run:
    """What is shared by all connections."""

    def __init__(self, made: list[Request], until: float) -> None:
        self.waiting = deque(made)  # closed loop: not sent yet; open loop: due, and not sent yet
        self.until = until
        self.free: list[Connection] = []
        self.due: deque[float] = deque()  # open loop: of each in `waiting`
        self.latencies: list[float] = []
        self.sent = self.ok = self.failed = 0
        self.closed_loop = True

    def next(self, connection: "Connection") -> None:
        """Give a connection something to do."""
        if self.waiting and (not self.closed_loop or time.perf_counter() < self.until):
            due = self.due.popleft() if self.due else time.perf_counter()
            self.sent += 1
            connection.send(self.waiting.popleft(), due)
        else:
            self.free.append(connection)

    async def answered(self, connections: int) -> None:
        """Until all connections are free again."""
        while len(self.free) < connections:  # noqa: ASYNC110 - under its caller's time limit
            await asyncio.sleep(0.01)


class Connection(asyncio.Protocol):
    """One connection, kept alive, with one request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._due = 0.0
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: Request, due: float) -> None:
        """One request, whose latency began when it was due."""
        self._due = due
        self._transport.writelines(request)

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        if self._said or not _is_whole(data):
            self._said += data
            if not _is_whole(self._said):
                return
            data, self._said = self._said, b""
        run = self._run
        run.latencies.append(time.perf_counter() - self._due)
        if data.startswith(b"HTTP/1.1 2"):
            run.ok += 1
        else:
            run.failed += 1
        run.next(self)


def _is_whole(said: bytes) -> bool:
    head, found, body = said.partition(b"\r\n\r\n")
    if not found:
        return False
    _, found, length = head.lower().partition(b"content-length:")
    return bool(found) and len(body) >= int(length.split(b"\r\n")[0])


async def hammer(
    made: list[Request], port: int, connections: int, seconds: float, rate: float, seed: int
) -> dict[str, float]:
    """Send, and tell."""
    loop = asyncio.get_running_loop()
    run = Run(made if not rate else [], 0.0)
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(run), "127.0.0.1", port)
        run.free.append(connection)
    began, cpu = time.perf_counter(), time.process_time()
    run.until = began + seconds
    if rate:
        run.closed_loop = False
        await _by_the_clock(run, made, rate, random.Random(seed))
    else:
        for connection in [run.free.pop() for _ in range(connections)]:
            run.next(connection)
        await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    ok = run.ok
    cpu = time.process_time() - cpu
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await run.answered(connections)
    latencies = sorted(run.latencies) or [float("inf")]
    asked = run.sent + len(run.waiting) if rate else run.sent
    return {
        "per_second": ok / took, "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
        "generator_cpu_us": cpu / max(1, ok) * 1e6, "ok": run.ok, "failed": run.failed,
        "sent": run.sent, "kept": run.ok / max(1, asked),
    }  # fmt: skip


async def _by_the_clock(run: Run, made: list[Request], rate: float, draw: random.Random) -> None:
    due = time.perf_counter()
    for request in made:
        due += draw.expovariate(rate)
        if due > run.until:
            break
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)  # up to a millisecond longer, which counts as latency
        run.waiting.append(request)
        run.due.append(due)
        if run.free:
            run.next(run.free.pop())


def main() -> None:
    """Read the arguments, prepare, measure, write."""
    parser = argparse.ArgumentParser(prog="hammer")
    for name, kind in (
        ("port", int), ("connections", int), ("seconds", float), ("rate", float), ("count", int),
        ("seed", int),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, required=True)
    given = parser.parse_args()
    made = requests(given.count, given.port)
    found = uvloop.run(
        hammer(made, given.port, given.connections, given.seconds, given.rate, given.seed)
    )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
